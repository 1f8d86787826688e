-- fire      recurring slot → queued, once per slot
-- uses      put state admit
-- keys      SCHEDULES SLOTS STATS
-- args      now entry definition slot overlap queue id record known_cursor
-- returns   fired, skipped, passed, early or changed; then the entry's cursor as text ('' when there is none)

local cursor, last, last_at = string.match(redis.call('HGET', SLOTS, entry) or '', '^(%S+) ?(%S*) ?(%S*)$')
-- What this scheduler has read may be replaced or removed by now: then nothing of it is to be fired any more.
if redis.call('HGET', SCHEDULES, entry) ~= definition then return {'changed', cursor or ''} end
-- A server that came back from an older state has slots before this one to be fired.
if cursor and tonumber(cursor) < (tonumber(known_cursor) or 0) then return {'changed', cursor} end
if cursor and tonumber(slot) <= tonumber(cursor) then return {'passed', cursor} end
if tonumber(slot) > now_seconds then return {'early', cursor or ''} end
if overlap == 'skip' and last and last ~= '' then
  local state = state_of(last, read_record(last))
  if state == 'queued' or state == 'delayed' or state == 'leased' then
    redis.call('HSET', SLOTS, entry, slot .. ' ' .. last .. ' ' .. last_at)
    redis.call('HINCRBY', STATS, 'skip', 1)
    return {'skipped', slot}
  end
end
-- The job first: a server whose memory is full refuses it here, before the cursor has moved.
if admit(id, record, now_seconds) == 1 then put(queue, {id}, 'RPUSH') end
redis.call('HSET', SLOTS, entry, slot .. ' ' .. id .. ' ' .. now)
redis.call('HINCRBY', STATS, 'fire', 1)
return {'fired', slot}
