-- What a 2600 does by itself; loaded by its driver, which puts in CHANNEL, MOST and PAGE. Lua 5.0: no #, no %, no "...".
cryoctl = {mark = 0, n = 0, most = MOST, base = 0, failures = 0, failure = "", doing = "", ended = ""}
cryoctl.levels, cryoctl.pieces, cryoctl.turns, cryoctl.current = {}, {}, 1, 0
cryoctl.interval, cryoctl.need, cryoctl.scratch, cryoctl.newest, cryoctl.patience = 1, 0, 0, 0, 0
cryoctl.told = {0, 0, 0}
local c, smu = cryoctl, CHANNEL
local node = localnode
local who = string.format("%s,%s,%s,%d", node.model, node.serialno, node.revision, node.linefreq)
local times, volts, amperes, limited = {}, {}, {}, {}
timer.reset()

-- Its timer loses digits within minutes, so it is begun anew and what it had told is added up.
function c.now()
  local passed = timer.measure.t()
  if passed > 60 then
    timer.reset()
    c.base, passed = c.base + passed, 0
  end
  return c.base + passed
end

-- Answers end in a sum (Adler-32, its halves in decimal), so that none that was damaged on the way is believed.
function c.say(text)
  local a, b = 1, 0
  for k = 1, string.len(text) do
    a = math.mod(a + string.byte(text, k), 65521)
    b = math.mod(b + a, 65521)
  end
  print(string.format("%s*%05d%05d", text, b, a))
end

function c.word(value)
  if type(value) == "number" then
    return string.format("%+.9E", value)
  end
  return tostring(value)
end

function c.tell(kind, values, first, last)
  local words = {kind}
  for k = first or 1, last or table.getn(values) do
    table.insert(words, c.word(values[k]))
  end
  c.say(table.concat(words, ","))
end

function c.add(list, values)
  for _, value in ipairs(values) do
    table.insert(list, value)
  end
end

-- Reading the queue empties it: what was in it stays told until it is forgotten.
function c.errors()
  while errorqueue.count > 0 do
    local code, message = errorqueue.next()
    if c.failures == 0 then
      c.failure = code .. " " .. string.gsub(message, "[^%w%p ]", " ")
    end
    c.failures = c.failures + 1
  end
  c.say(string.format("E,%d,%s", c.failures, c.failure))
end

function c.forget()
  errorqueue.clear()
  c.failures, c.failure = 0, ""
end

local function is_limited()
  local held = smu.source.compliance
  return (held == true or held == 1) and 1 or 0
end

local function rows(first, last)
  local found = {}
  for number = first, last do
    local k = math.mod(number - 1, c.most) + 1
    table.insert(found, string.format(";%.6f,%+.7E,%+.7E,%d", times[k], volts[k], amperes[k], limited[k]))
  end
  return table.concat(found)
end

function c.page(first, last)
  c.say("P," .. first .. rows(first, last))
end

-- The whole state, and the rows since the third last time that it was told.
function c.report()
  local first = math.max(c.told[1], c.n - c.most) + 1
  local last = math.min(c.n, first + PAGE - 1)
  c.told = {c.told[2], c.told[3], last}
  c.asked = c.now()
  local source = smu.source
  c.say(string.format("R,%s,%s,%s,%d,%.6f,%d,%d,%+.9E,%+.9E,%d,%d%s", who, c.doing, c.ended, c.mark, c.now(),
    source.output, source.offmode, source.limitv, source.limiti, c.n, first, rows(first, last)))
end

function c.single()
  local before = c.now()
  local current, voltage = smu.measure.iv()
  c.say(string.format("M;%.6f,%+.7E,%+.7E,%d", (before + c.now()) / 2, voltage, current, is_limited()))
end

-- Until a time of its clock, answering whoever asks.
local function pause(at)
  local left = at - c.now()
  while left > 0 do
    if trigger.wait(left) then
      c.report()
    end
    left = at - c.now()
  end
end

local function source(level)
  if c.current == 1 then
    smu.source.leveli = level
  else
    smu.source.levelv = level
  end
end

-- One sample, over when `at` has come; none where that has passed already.
local function sample(at)
  if c.now() > at then
    return nil
  end
  pause(at - c.need)
  local before = c.now()
  local current, voltage = smu.measure.iv()
  local time = (before + c.now()) / 2
  c.newest = voltage
  if c.scratch == 0 then
    local k = math.mod(c.n, c.most) + 1
    times[k], volts[k], amperes[k], limited[k] = time, voltage, current, is_limited()
    c.n = c.n + 1
  end
  pause(at)
  return voltage
end

local function passed(voltage, ends, limit)
  return voltage ~= nil and ((ends == 1 and voltage > limit) or (ends == 2 and voltage < limit))
end

-- Pieces are five numbers each: first level, levels, ticks a level, whether a voltage ends it (0 no, 1 above, 2 below),
-- and that voltage.
local function walk()
  source(c.levels[c.pieces[1]])
  smu.source.output = 1
  local at = c.now()
  for _ = 1, c.turns do
    for p = 1, table.getn(c.pieces), 5 do
      local first, ticks, ends, limit = c.pieces[p], c.pieces[p + 2], c.pieces[p + 3], c.pieces[p + 4]
      for k = first, first + c.pieces[p + 1] - 1 do
        source(c.levels[k])
        for _ = 1, ticks do
          at = at + c.interval
          local voltage = sample(at)
          if smu.source.output == 0 then
            return "tripped"
          end
          if passed(voltage, ends, limit) then
            break
          end
        end
      end
    end
  end
  return "complete"
end

local function hold()
  local at = c.now()
  while smu.source.output == 1 do
    if c.patience > 0 and c.now() - c.asked > c.patience then
      smu.source.output = 0
      return "unattended"
    end
    at = math.max(at, c.now() - c.interval) + c.interval
    sample(at)
  end
  return "tripped"
end

-- Answers for ten minutes more.
local function linger(ended)
  c.doing, c.ended, c.asked = "over", ended, c.now()
  while c.now() - c.asked < 600 do
    if trigger.wait(10) then
      c.report()
    end
  end
  c.doing = ""
end

local function begin(doing)
  c.doing, c.ended, c.asked = doing, "", c.now()
end

-- A waveform: output on, all its pieces, output off, whatever happens between.
function c.play()
  begin("waveform")
  local well, ended = pcall(walk)
  smu.source.output = 0
  linger(well and ended or "broken")
end

-- A constant bias, sampled until it is aborted, or until nobody has asked for longer than `patience` (0: no matter).
function c.hold()
  begin("bias")
  linger(hold())
end
