-- release   leased → queued, at the head and in the old order; costs no try
-- uses      put leave
-- keys      STATS
-- args      now claim ids...
-- returns   how many went back; no ids means all of the claim

local wanted = {}
for _, id in ipairs(ids) do wanted[id] = true end
local back = {}
for _, job in ipairs(in_order(claim)) do
  if #ids == 0 or wanted[job.id] then back[#back + 1] = job end
end
if #back == 0 then return 0 end
local released = {}
for i, job in ipairs(back) do released[i] = job.id end
leave(claim, released)
for i = #back, 1, -1 do put(back[i].queue, {back[i].id}, 'LPUSH') end
redis.call('HINCRBY', STATS, 'release', #released)
return #released
