-- renew     leased → leased, with a later deadline
-- keys      LEASES
-- args      now claim lease_seconds
-- returns   1, or 0 when the claim is over (its jobs may be another's by now)

if not redis.call('ZSCORE', LEASES, claim) then return 0 end
-- Taken out first, for a server whose memory is full: it refuses a script only at its first write.
redis.call('ZREM', LEASES, claim)
redis.call('ZADD', LEASES, string.format('%.6f', now_seconds + tonumber(lease_seconds)), claim)
return 1
