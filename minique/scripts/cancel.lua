-- cancel    queued or delayed → (gone)
-- uses      state over
-- args      now id
-- returns   the state it was in: cancelled if that is queued or delayed, otherwise refused

local state = state_of(id, read_record(id))
if state == 'queued' or state == 'delayed' then
  redis.call('ZREM', DELAYED, id)
  -- A queued id stays in its list, and claim skips it: taking it from the middle of a long list would block the server.
  remove(id, 'cancel')
end
return state
