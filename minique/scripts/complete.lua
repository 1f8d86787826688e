-- complete  leased → done, for some of a claim's jobs, each with the jobs that follow it
-- uses      put leave state admit over
-- args      now claim groups...
-- returns   the places (from 0) of the jobs that were refused; a group is: how many, lifetime in seconds (minus sign: they never went back), result, the ids; after one may stand follow-ups of its last job: +id, when it is due ('': now), record

local held = {}
for _, id in ipairs(redis.call('LRANGE', CLAIM .. claim, 0, -1)) do held[id] = true end
local mark = '!done ' .. now .. ' ' .. claim .. '\n'
local refused, records, went_back, by_lifetime, following, place, counts = {}, {}, {}, {}, {}, 0, false
local i = 1
while i <= #groups do
  if string.byte(groups[i]) == 43 then
    local next = {id = string.sub(groups[i], 2), due = groups[i + 1], record = groups[i + 2]}
    if counts then following[#following + 1] = next end
    i = i + 3
  else
    local last, record = i + 2 + groups[i], mark .. groups[i + 2]
    local minus, lifetime = string.match(groups[i + 1], '^(%-?)(.*)$')
    local some, n = by_lifetime[lifetime] or {}, #records
    for k = i + 3, last do
      local id = groups[k]
      counts = held[id]
      if counts then
        held[id] = nil
        some[#some + 1] = id
        records[n + 1], records[n + 2] = JOB .. id, record
        n = n + 2
        if minus == '' then went_back[#went_back + 1] = id end
      else
        -- A repeated call finds its own record and answers as the first one did.
        local holder = string.match(read_record(id) or '', '^!done %S+ (%S+)\n')
        if holder ~= claim then refused[#refused + 1] = place end
      end
      place = place + 1
    end
    if #some > 0 then by_lifetime[lifetime] = some end
    i = last + 1
  end
end
if #records == 0 then return refused end
-- Leaving comes first: the first write decides whether a server whose memory is full lets a script run, and work that
-- was done must be told even then.
for _, ids in pairs(by_lifetime) do leave(claim, ids) end
for _, ids in pairs(by_lifetime) do free_keys(ids) end
redis.call('MSET', unpack(records))
for lifetime, ids in pairs(by_lifetime) do
  remember(ids, lifetime)
  tell_waiters(ids)
end
if #went_back > 0 then forget_counts(went_back) end
redis.call('HINCRBY', STATS, 'complete', #records / 2)
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
return refused
