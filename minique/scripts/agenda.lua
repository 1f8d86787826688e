-- agenda    the recurring entries, for a scheduler that may know them already (reads only)
-- keys      SCHEDULES SLOTS REVISION
-- args      now revision
-- returns   now, the revision, then name, definition, cursor and last job's id of each entry; none when `revision` is this one

local current = redis.call('GET', REVISION) or '0'
local reply = {now, current}
if current == revision then return reply end
local flat = redis.call('HGETALL', SCHEDULES)
for i = 1, #flat, 2 do
  local cursor, last = string.match(redis.call('HGET', SLOTS, flat[i]) or '', '^(%S+) ?(%S*)$')
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = flat[i], flat[i + 1], cursor or '', last or ''
end
return reply
