-- The world of a script in an emulated 2600, of Lua 5.2 made to look like the 5.0 of the instrument. What takes time yields
-- ("wait", s) or ("trigger", s) to whoever resumes it; all else asks the host, a table of functions, and goes on.
local host = ...
local yield = coroutine.yield
local thread_of

-- What 5.0 has and 5.2 has not; what an instrument has not.
math.mod, string.gfind, unpack = math.fmod, string.gmatch, table.unpack
function table.getn(list) return #list end
os = {time = function() return math.floor(host.utc()) end, clock = function() return host.clock() end}
local compile, create, resume, state_of = load, coroutine.create, coroutine.resume, coroutine.status
loadstring = function(text) return compile(text) end
io, require, package, dofile, loadfile, load, debug, coroutine, python = nil

local function shown(value)
  if type(value) ~= "number" then
    return tostring(value)
  elseif value ~= value or value == math.huge or value == -math.huge then
    return tostring(value)
  end
  return string.format("%." .. (host.get("format.asciiprecision") - 1) .. "e", value)
end

function print(...)
  local words = {}
  for k = 1, select("#", ...) do
    words[k] = shown((select(k, ...)))
  end
  host.say(table.concat(words, "\t"))
end

-- Tables whose attributes are the host's, with the metatables that the instrument has.
local function object(path, objects)
  local meta = {Getters = {}, Setters = {}, Objects = objects or {}, luatype = "object"}
  for name, writable in string.gmatch(host.attributes(path), "(%w+)=(%d)") do
    meta.Getters[name] = function() return host.get(path .. "." .. name) end
    if writable == "1" then
      meta.Setters[name] = function(value) host.set(path .. "." .. name, value) end
    end
  end
  function meta.__index(_, key)
    local getter = meta.Getters[key]
    if getter then
      return getter()
    end
    return meta.Objects[key]
  end
  function meta.__newindex(_, key, value)
    local setter = meta.Setters[key]
    if not setter then
      error("attempt to set " .. path .. "." .. tostring(key) .. ", which is no attribute that can be set", 2)
    end
    setter(value)
  end
  return setmetatable({}, meta)
end

local function buffer()
  local kept, meta = {appendmode = 0, collecttimestamps = 1, collectsourcevalues = 0}, {Objects = {}, luatype = "reading_buffer"}
  local lists = {readings = {}, timestamps = {}, sourcevalues = {}, statuses = {}}
  local made = setmetatable({}, meta)
  local function clear()
    for _, list in pairs(lists) do
      for k = #list, 1, -1 do list[k] = nil end
    end
    kept.base = nil
  end
  for name, list in pairs(lists) do
    local inner = {getreading = function(k) return list[k] end}
    local index = function(_, key)
      if type(key) == "number" then return list[key] end
      return inner[key]
    end
    meta.Objects[name] = setmetatable({}, {luatype = "synchronous_table", Objects = inner, __index = index})
  end
  meta.Objects.clear, meta.Objects.clearcache = clear, function() end
  meta.Getters = {
    n = function() return #lists.readings end,
    capacity = function() return 60000 end,
    basetimestamp = function() return kept.base or 0 end,
  }
  meta.Setters = {}
  for name in pairs(kept) do
    meta.Getters[name] = function() return kept[name] end
    meta.Setters[name] = function(value)
      if #lists.readings > 0 then host.fail(5052) else kept[name] = value end
    end
  end
  meta.Setters.fillcount, meta.Setters.fillmode = function() end, function() end
  function meta.__index(_, key)
    if type(key) == "number" then
      return lists.readings[key]
    end
    local getter = meta.Getters[key]
    if getter then
      return getter()
    end
    return meta.Objects[key]
  end
  function meta.__newindex(_, key, value)
    local setter = meta.Setters[key]
    if not setter then error("no attribute " .. tostring(key), 2) end
    setter(value)
  end
  function meta.begin()
    if kept.appendmode ~= 1 then clear() end
  end
  function meta.store(reading, utc, sourced, state)
    kept.base = kept.base or utc
    local k = #lists.readings + 1
    lists.readings[k], lists.timestamps[k], lists.sourcevalues[k] = reading, utc - kept.base, sourced
    lists.statuses[k] = state
  end
  return made
end

local function begin(one)
  if one then getmetatable(one).begin() end
end

-- One measurement of both, into the buffers of what is wanted.
local function measured(channel, wanted, buffers)
  local amperes, volts, sourced, state = host.measure(channel)
  local all = {i = amperes, v = volts, r = volts / amperes, p = volts * amperes}
  local found = {}
  for k = 1, #wanted do
    found[k] = all[string.sub(wanted, k, k)]
    if buffers[k] then getmetatable(buffers[k]).store(found[k], host.utc(), sourced, state) end
  end
  return table.unpack(found)
end

local function measure_of(channel, wanted)
  return function(...)
    local buffers = {...}
    begin(buffers[1])
    begin(buffers[2])
    local count = buffers[1] and host.get(channel .. ".measure.count") or 1
    local pause = host.get(channel .. ".measure.interval")
    for _ = 2, count do
      measured(channel, wanted, buffers)
      yield("wait", pause)
    end
    return measured(channel, wanted, buffers)
  end
end

-- The trigger model as far as sweeps go: source, measure, next level; all at the pace of a measurement.
local function trigger_model(channel)
  local levels, kinds, wanted, buffers = {}, {v = "levelv", i = "leveli"}, "", {}
  local objects = {source = {}, measure = {}, endpulse = {}, endsweep = {}, arm = {}}
  for kind in pairs(kinds) do
    objects.source["list" .. kind] = function(list) levels = list end
    objects.source["linear" .. kind] = function(first, last, count)
      levels = {}
      for k = 1, count do levels[k] = first + (last - first) * (k - 1) / math.max(count - 1, 1) end
    end
  end
  for _, one in ipairs({"i", "v", "r", "p", "iv"}) do
    objects.measure[one] = function(...) wanted, buffers = one, {...} end
  end
  for name, inner in pairs(objects) do objects[name] = object(channel .. ".trigger." .. name, inner) end
  for k, name in ipairs({"IDLE", "SWEEPING", "ARMED", "SOURCE_COMPLETE", "MEASURE_COMPLETE", "PULSE_COMPLETE", "SWEEP_COMPLETE"}) do
    objects[name .. "_EVENT_ID"] = 30 + k
  end
  function objects.initiate()
    if host.sweeping() then
      host.fail(5043)
      return
    end
    begin(buffers[1])
    begin(buffers[2])
    local kind = host.get(channel .. ".source.func") == 1 and "levelv" or "leveli"
    local function sweep()
      local idle = host.get(channel .. ".source." .. kind)
      local rest = 2 * host.get(channel .. ".measure.nplc") / host.get("localnode.linefreq")
      for k = 1, host.get(channel .. ".trigger.count") do
        if host.get(channel .. ".trigger.source.action") == 1 and #levels > 0 then
          host.drive(channel, levels[(k - 1) % #levels + 1])
        end
        yield("wait", rest)
        if host.get(channel .. ".trigger.measure.action") == 1 then measured(channel, wanted, buffers) end
      end
      if host.get(channel .. ".trigger.endsweep.action") == 0 then host.drive(channel, idle) end
    end
    host.overlap(thread_of(sweep), host.get(channel .. ".trigger.arm.stimulus") ~= 0)
  end
  return object(channel .. ".trigger", objects)
end

local function channel(name)
  local objects = {
    OUTPUT_OFF = 0, OUTPUT_ON = 1, OUTPUT_DCAMPS = 0, OUTPUT_DCVOLTS = 1, OUTPUT_NORMAL = 0, OUTPUT_ZERO = 1,
    OUTPUT_HIGH_Z = 2, DISABLE = 0, ENABLE = 1, SENSE_LOCAL = 0, SENSE_REMOTE = 1, AUTORANGE_OFF = 0, AUTORANGE_ON = 1,
    AUTOZERO_OFF = 0, AUTOZERO_ONCE = 1, AUTOZERO_AUTO = 2, DELAY_OFF = 0, DELAY_AUTO = -1, SOURCE_IDLE = 0,
    SOURCE_HOLD = 1, FILTER_MOVING_AVG = 0, FILTER_REPEAT_AVG = 1, FILTER_MEDIAN = 2,
    nvbuffer1 = buffer(), nvbuffer2 = buffer(),
  }
  local measure = {filter = object(name .. ".measure.filter"), rel = object(name .. ".measure.rel")}
  for _, wanted in ipairs({"i", "v", "r", "p", "iv"}) do measure[wanted] = measure_of(name, wanted) end
  objects.measure, objects.source = object(name .. ".measure", measure), object(name .. ".source")
  objects.trigger = trigger_model(name)
  function objects.reset() host.reset(name) end
  function objects.abort() host.abort() end
  objects.makebuffer = buffer
  return object(name, objects)
end

for _, name in ipairs({"smua", "smub"}) do
  if host.has(name) then _G[name] = channel(name) end
end
localnode, format = object("localnode"), object("format", {ASCII = 1, SREAL = 2, REAL32 = 2, REAL64 = 3})
status = object("status", {
  standard = object("status.standard"), reset = function() end,
  operation = object("status.operation", {sweeping = object("status.operation.sweeping")}),
})
display = object("display", {
  clear = function() end, settext = function() end, setcursor = function() end,
  SMUA = 0, SMUB = 1, SMUA_SMUB = 2, USER = 3, MEASURE_DCAMPS = 0, MEASURE_DCVOLTS = 1, MEASURE_OHMS = 2,
  MEASURE_WATTS = 3,
  smua = {measure = object("display.smua.measure")}, smub = {measure = object("display.smub.measure")},
})
beeper = object("beeper", {beep = function() end, ON = 1, OFF = 0})
errorqueue = object("errorqueue", {
  next = function() return host.next_error() end,
  clear = function() host.clear_errors() end,
})
timer = {reset = function() host.timer_reset() end, measure = {t = function() return host.timer() end}}
trigger = {
  EVENT_ID = 29,
  wait = function(seconds) return yield("trigger", seconds) end,
  clear = function() host.clear_trigger() end,
  blender = {}, timer = {},
}
for k = 1, 6 do
  trigger.blender[k] = object("trigger.blender", {stimulus = {}, EVENT_ID = 40 + k})
end
for k = 1, 8 do
  trigger.timer[k] = object("trigger.timer", {EVENT_ID = 50 + k})
end

function delay(seconds) yield("wait", seconds) end
function waitcomplete()
  while host.sweeping() do yield("wait", 0.001) end
end
function reset() host.reset("") end
function exit() error("exit", 0) end
function makebuffer() return buffer() end

function printbuffer(first, last, ...)
  local words = {}
  for k = first, last do
    for _, list in ipairs({...}) do table.insert(words, shown(list[k])) end
  end
  host.say(table.concat(words, ", "))
end

-- Threads are numbers to the host.
local threads, made = {}, 0
thread_of = function(f)
  made = made + 1
  threads[made] = create(f)
  return made
end

-- For the host: text to a function (or nil and what is wrong); a script by its name; a thread of a function; what comes of
-- resuming one: whether it is well, whether it is over, what it yields or what is wrong.
return function(text)
  return compile(text, "=line")
end, function(name, text)
  local chunk, wrong = compile(text, "=" .. name)
  if chunk then
    _G[name] = setmetatable({source = text, name = name, run = chunk}, {__call = function() return chunk() end})
  end
  return chunk, wrong
end, thread_of, function(thread, value)
  local well, what, seconds = resume(threads[thread], value)
  local over = state_of(threads[thread]) == "dead"
  if over then threads[thread] = nil end
  return well, over, what, seconds
end
