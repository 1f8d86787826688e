-- enqueue   (new) → queued, each id once
-- uses      put
-- keys      JOB
-- args      now queue pairs...
-- returns   for each pair of id and record in `pairs`: 1, or 0 when the id is known already

local answers, fresh = {}, {}
for i = 1, #pairs, 2 do
  if redis.call('SET', JOB .. pairs[i], pairs[i + 1], 'NX') then
    fresh[#fresh + 1] = pairs[i]
    answers[#answers + 1] = 1
  else
    answers[#answers + 1] = 0
  end
end
if #fresh > 0 then put(queue, fresh, 'RPUSH') end
return answers
