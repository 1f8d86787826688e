-- resume    the end of a pause
-- uses      put
-- args      queue
-- returns   1, or 0 when it was not paused

if redis.call('SREM', PAUSED, queue) == 0 then return 0 end
if redis.call('EXISTS', QUEUE .. queue) == 1 then
  make_ready(queue)
  ring_all_that_serve(queue)
end
return 1
