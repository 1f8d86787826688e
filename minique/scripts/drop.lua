-- drop      leased → (gone), by the job's own word
-- uses      leave state over
-- args      now claim id lifetime_seconds reason
-- returns   1, or 0 when the claim is not the job's latest

if not redis.call('LPOS', CLAIM .. claim, id) then
  return string.match(read_record(id) or '', '^!gone %S+ drop (%S+)\n') == claim and 1 or 0
end
leave(claim, {id})
remove(id, 'drop', lifetime_seconds, ' ' .. claim .. '\n' .. reason)
return 1
