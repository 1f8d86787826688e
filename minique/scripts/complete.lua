-- complete  leased → done, for some of a claim's jobs, each with the jobs that follow it
-- uses      put leave state admit over
-- args      now claim triples...
-- returns   for each triple of id, lifetime in seconds (minus sign: it never went back) and result: 1, or 0 when refused; a triple whose id begins with + is a follow-up of the one before: +id, when it is due ('': now), record

-- A repeated call finds its own record and answers as the first one did.
local mark = '!done ' .. now .. ' ' .. claim .. '\n'
local answers, ids, records, went_back, by_lifetime, following, counts = {}, {}, {}, {}, {}, {}, false
local asked = {}
for i = 1, #triples, 3 do
  if string.byte(triples[i]) ~= 43 then asked[#asked + 1] = triples[i] end
end
if #asked == 0 then return answers end
local held = redis.call('HMGET', CLAIM .. claim, unpack(asked))
for i = 1, #triples, 3 do
  local id, lifetime, result = triples[i], triples[i + 1], triples[i + 2]
  local n = #answers + 1
  if string.byte(id) == 43 then
    if counts then following[#following + 1] = {id = string.sub(id, 2), due = lifetime, record = result} end
  elseif held[n] then
    answers[n], counts = 1, true
    ids[#ids + 1] = id
    records[#records + 1], records[#records + 2] = JOB .. id, mark .. result
    if string.sub(lifetime, 1, 1) == '-' then
      lifetime = string.sub(lifetime, 2)
    else
      went_back[#went_back + 1] = id
    end
    by_lifetime[lifetime] = by_lifetime[lifetime] or {}
    table.insert(by_lifetime[lifetime], id)
  else
    local holder = string.match(read_record(id) or '', '^!done %S+ (%S+)\n')
    answers[n], counts = holder == claim and 1 or 0, false
  end
end
if #ids == 0 then return answers end
-- Leaving comes first: the first write decides whether a server whose memory is full lets a script run, and work that
-- was done must be told even then.
leave(claim, ids)
free_keys(ids)
redis.call('MSET', unpack(records))
for lifetime, some in pairs(by_lifetime) do remember(some, lifetime) end
if #went_back > 0 then forget_counts(went_back) end
redis.call('HINCRBY', STATS, 'complete', #ids)
tell_waiters(ids)
for _, job in ipairs(following) do
  local answer
  if job.due == '' then
    answer = admit(job.id, job.record, now_seconds)
    if answer == 1 then put(queue_of(job.record), {job.id}, 'RPUSH') end
  else
    answer = admit_delayed(job.id, job.record, job.due)
  end
  if type(answer) == 'string' then redis.call('HINCRBY', STATS, 'held', 1) end
end
return answers
