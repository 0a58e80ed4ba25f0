-- Appends events to the stream and publishes them, all or none, unless the stream ends before what the caller knows to be
-- in it: then this server has forgotten events. Those up to the one with which the stream ends are there already: an earlier
-- attempt brought them, of which the caller heard nothing. Answers with the position at which the stream ended.
-- KEYS: the stream. ARGV: position that must be there; longest length; channel of all events; channel of all clusters;
-- then seven for each event: event_id, event_type, cluster_id, sequence, position, own channel ('' for none), json.
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local position, newest_id = 0, nil
if newest then
  local fields = newest[2]
  for i = 1, #fields, 2 do
    if fields[i] == 'position' then position = tonumber(fields[i + 1]) or 0 end
    if fields[i] == 'event_id' then newest_id = fields[i + 1] end
  end
end
if position < tonumber(ARGV[1]) then return position end
local first = 5
for i = 5, #ARGV, 7 do
  if ARGV[i] == newest_id and tonumber(ARGV[i + 4]) == position then first = i + 7 end
end
for i = first, #ARGV, 7 do
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
