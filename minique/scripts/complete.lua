-- complete  leased → done, for some of a claim's jobs
-- uses      leave over
-- args      now claim triples...
-- returns   for each triple of id, lifetime in seconds (minus sign: it never went back) and result: 1, or 0 when refused

-- A repeated call finds its own record and answers as the first one did.
local mark = '!done ' .. now .. ' ' .. claim .. '\n'
local answers, ids, records, went_back, by_lifetime = {}, {}, {}, {}, {}
for i = 1, #triples, 3 do
  local id, lifetime, result = triples[i], triples[i + 1], triples[i + 2]
  local n = #answers + 1
  if redis.call('HEXISTS', CLAIM .. claim, id) == 1 then
    answers[n] = 1
    ids[#ids + 1] = id
    records[#records + 1] = mark .. result
    if string.sub(lifetime, 1, 1) == '-' then
      lifetime = string.sub(lifetime, 2)
    else
      went_back[#went_back + 1] = id
    end
    by_lifetime[lifetime] = by_lifetime[lifetime] or {}
    table.insert(by_lifetime[lifetime], id)
  else
    local record = redis.pcall('GET', JOB .. id)
    local holder = type(record) == 'string' and string.match(record, '^!done %S+ (%S+)\n')
    answers[n] = holder == claim and 1 or 0
  end
end
if #ids == 0 then return answers end
-- Leaving comes first: the first write decides whether a server whose memory is full lets a script run, and work that
-- was done must be told even then.
leave(claim, ids)
for i, id in ipairs(ids) do redis.call('SET', JOB .. id, records[i]) end
for lifetime, some in pairs(by_lifetime) do remember(some, lifetime) end
if #went_back > 0 then forget_counts(went_back) end
redis.call('HINCRBY', STATS, 'complete', #ids)
tell_waiters(ids)
return answers
