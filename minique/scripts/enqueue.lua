-- enqueue   (new) → queued, each id once
-- uses      put state admit
-- args      now queue pairs...
-- returns   for each pair of id and record: 1; 0 when the id is known already; the id of the job that holds its unique key

local answers, fresh = {}, {}
for i = 1, #pairs, 2 do
  local answer = admit(pairs[i], pairs[i + 1], now_seconds)
  answers[#answers + 1] = answer
  if answer == 1 then fresh[#fresh + 1] = pairs[i] end
end
if #fresh > 0 then put(queue, fresh, 'RPUSH') end
return answers
