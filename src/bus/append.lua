-- Appends events to the stream and publishes them, all or none, unless the stream ends before what the caller knows to be
-- in it: then this server has forgotten events. Answers with the position at which the stream ended.
-- KEYS: the stream. ARGV: position that must be there; longest length; channel of all events; channel of all clusters;
-- then seven for each event: event_id, event_type, cluster_id, sequence, position, own channel ('' for none), json.
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local position = 0
if newest then
  local fields = newest[2]
  for i = 1, #fields, 2 do
    if fields[i] == 'position' then position = tonumber(fields[i + 1]) or 0 end
  end
end
if position < tonumber(ARGV[1]) then return position end
for i = 5, #ARGV, 7 do
  local json, own = ARGV[i + 6], ARGV[i + 5]
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'event_id', ARGV[i], 'event_type', ARGV[i + 1],
    'cluster_id', ARGV[i + 2], 'sequence', ARGV[i + 3], 'position', ARGV[i + 4], 'json', json)
  redis.call('PUBLISH', ARGV[3], json)
  if own ~= '' then
    redis.call('PUBLISH', ARGV[4], json)
    redis.call('PUBLISH', own, json)
  end
end
return position
