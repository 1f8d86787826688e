-- look      one job, as it is now (reads only)
-- uses      state
-- keys      FAILURES FAILURE_COUNTS DEATHS
-- args      id
-- returns   state, when ('' or the due, failed, done or gone time), claim, last failure, failures, deaths a line each, record

local record = read_record(id)
local state = state_of(id, record)
record = record or ''
local at, claim = '', ''
if state == 'leased' then claim = string.match(redis.call('HGET', LEASED, id), '^%S+') end
if state == 'delayed' then at = redis.call('ZSCORE', DELAYED, id) end
if state == 'failed' then at = redis.call('ZSCORE', FAILED, id) end
if state == 'done' or state == 'gone' then at = string.match(record, '^!%a+ (%S+)') or '' end
return {state, at, claim, redis.call('HGET', FAILURES, id) or '', redis.call('HGET', FAILURE_COUNTS, id) or '0',
        redis.call('HGET', DEATHS, id) or '', record}
