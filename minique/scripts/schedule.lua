-- schedule  keep an entry's definition; an empty one removes the entry with its cursor
-- uses      put
-- keys      SCHEDULES SLOTS REVISION
-- args      now entry definition restart
-- returns   1, or 0 when it stands there already: said twice, it does not begin anew twice

local before = redis.call('HGET', SCHEDULES, entry)
if definition == (before or '') then return 0 end
if definition == '' then
  redis.call('HDEL', SCHEDULES, entry)
  redis.call('HDEL', SLOTS, entry)
else
  redis.call('HSET', SCHEDULES, entry, definition)
  local cursor, rest = string.match(redis.call('HGET', SLOTS, entry) or '', '^(%S+)(.*)$')
  -- Slots before now are none of a new entry's, nor of one that got another timetable. A cursor only moves forward.
  if not cursor or (restart == '1' and tonumber(cursor) < now_seconds) then
    redis.call('HSET', SLOTS, entry, now .. (rest or ''))
  end
end
redis.call('INCR', REVISION)
ring('@delayed')
return 1
