-- promote   delayed → queued, those that are due, earliest first
-- uses      put state over
-- keys      DELAYED STATS
-- limits    PROMOTE_LIMIT
-- args      now limit
-- returns   how many went, and the seconds until the next is due as text ('' when none waits)

local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, math.min(tonumber(limit), PROMOTE_LIMIT))
local order, by_queue, unreadable, promoted = {}, {}, {}, 0
for _, id in ipairs(due) do
  local record = read_record(id)
  local queue = record and queue_of(record)
  if queue then
    if not by_queue[queue] then
      by_queue[queue] = {}
      order[#order + 1] = queue
    end
    table.insert(by_queue[queue], id)
    promoted = promoted + 1
  elseif record then
    unreadable[#unreadable + 1] = id
  end
end
if #due > 0 then
  redis.call('ZREM', DELAYED, unpack(due))
  if promoted > 0 then redis.call('HINCRBY', STATS, 'promote', promoted) end
  for _, queue in ipairs(order) do put(queue, by_queue[queue], 'RPUSH') end
  for _, id in ipairs(unreadable) do set_aside(id, '\n{"error":"Unreadable","message":"its record names no queue"}') end
end
local first = redis.call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')
if not first[2] then return {promoted, ''} end
return {promoted, string.format('%.6f', math.max(0, tonumber(first[2]) - now_seconds))}
