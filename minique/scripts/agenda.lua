-- agenda    the recurring entries, for a scheduler that may know them already (reads only)
-- keys      SCHEDULES SLOTS REVISION
-- args      now revision
-- returns   now, the revision, then name, definition, cursor, last job's id and when it was made, of each entry; none when `revision` is this one

local current = redis.call('GET', REVISION) or '0'
local reply = {now, current}
if current == revision then return reply end
local flat = redis.call('HGETALL', SCHEDULES)
for i = 1, #flat, 2 do
  local cursor, last, at = string.match(redis.call('HGET', SLOTS, flat[i]) or '', '^([%d.]+) ?(%S*) ?([%d.]*)$')
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = flat[i], flat[i + 1], tonumber(cursor) and cursor or ''
  reply[n + 4], reply[n + 5] = last or '', at or ''
end
return reply
