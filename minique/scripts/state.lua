-- state     what state a job is in, and what its record says of it
-- keys      JOB DELAYED LEASED FAILED

-- A wrong type, written there by somebody else, counts as an empty record.
local function read_record(id)
  local record = redis.pcall('GET', JOB .. id)
  return type(record) == 'table' and '' or record
end

local function queue_of(record)
  return string.match(record, '^([%w_][^\n]*)\n')
end

-- A body may begin with a line of terms, `@EXPIRES KEY`: when it is not worth doing any more (epoch seconds, or
-- +SECONDS from when it is due), and the key under which there may be one such job. Either may be empty.
local function terms_of(record)
  if string.find(record, '\n@', 1, true) then
    return string.match(record, '^[^\n]*\n@(%+?%d*%.?%d*) ([^\n]*)\n')
  end
end

local function is_over(record)
  if string.byte(record) ~= 33 then return false end
  local mark = string.sub(record, 1, 6)
  return mark == '!done ' or mark == '!gone '
end

local function state_of(id, record)
  if redis.call('HEXISTS', LEASED, id) == 1 then return 'leased' end
  if redis.call('ZSCORE', DELAYED, id) then return 'delayed' end
  if redis.call('ZSCORE', FAILED, id) then return 'failed' end
  if not record then return 'gone' end
  if string.sub(record, 1, 6) == '!done ' then return 'done' end
  if string.sub(record, 1, 6) == '!gone ' then return 'gone' end
  return 'queued'
end
