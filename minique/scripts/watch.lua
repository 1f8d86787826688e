-- watch     ask to be told, on the list answer:WAITER, when a job is over
-- uses      state
-- keys      WAITERS
-- args      id waiter
-- returns   the job's state; the waiter is noted only while it is queued, delayed or leased

local state = state_of(id, read_record(id))
if state == 'queued' or state == 'delayed' or state == 'leased' then
  local names = redis.call('HGET', WAITERS, id)
  local is_noted = names and string.find(' ' .. names .. ' ', ' ' .. waiter .. ' ', 1, true)
  if not is_noted then redis.call('HSET', WAITERS, id, (names and names .. ' ' or '') .. waiter) end
end
return state
