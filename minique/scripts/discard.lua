-- discard   failed → (gone)
-- uses      state over
-- args      now id
-- returns   1, or 0 when it is not failed

if redis.call('ZREM', FAILED, id) == 0 then return 0 end
remove(id, 'discard')
return 1
