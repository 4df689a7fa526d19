-- SPDX-License-Identifier: BSD-2-Clause
--
-- Shows in Wireshark and tshark what libsio says on the wire: docs/protocol.md. Wireshark's own dissector of InfiniBand and
-- RoCE does the rest, and asks this one what a packet's payload is, and the connection manager's private data. The soft
-- provider's connections of TCP are dissected here from their first byte.
--
-- An RC packet names only the queue pair that it goes to. Whose that is the greetings say, in the connection manager's
-- request and reply, and of the bulk lane the lane frames. So all that is known of a packet depends on those before it: it
-- is found out once, as the packets of the capture come by in their order, and kept (`seen`) for when one is shown again.
--
-- Bytes of a capture are anybody's. Each range is taken of bytes that are there, what does not fit is said in expert
-- information, and nothing is believed of a length but that the bytes may be there.

-- Installed, and named on the command line as well.
local is_there, dissector = pcall(Dissector.get, "sio")
if is_there and dissector then return end

local sio = Proto("sio", "libsio")

sio.prefs.guess = Pref.bool("Connections whose greeting is not in the capture", true,
  "Take a connection for libsio's by a frame that is hardly anything else's")
sio.prefs.datagrams = Pref.bool("Datagrams", true,
  "Take UD packets with immediate data and the connection manager's key for libsio's")

-- --- Fields ------------------------------------------------------------------------------------------------------------

local kinds = { [1] = "message", [2] = "train", [3] = "credit", [4] = "end", [5] = "lane", [6] = "recall", [7] = "refund" }
local MESSAGE, TRAIN, CREDIT, END, LANE, RECALL, REFUND = 1, 2, 3, 4, 5, 6, 7
local types = { [1] = "sequenced messages", [2] = "stream" }
local STREAM = 2
local reasons = {
  [1] = "another version", [2] = "another type", [3] = "a figure out of range", [4] = "too many wait already",
  [5] = "the listener was closed", [6] = "not a libsio greeting",
}
local ends = { [1] = "the end that connected", [2] = "the end that accepted" }

local soft_opcodes = {
  [1] = "ready", [2] = "SEND", [3] = "SEND with immediate data", [4] = "RDMA WRITE", [5] = "RDMA WRITE with immediate data",
  [6] = "acknowledgement", [7] = "refusal",
}

local field = {
  connection = ProtoField.uint32("sio.connection", "Connection"),
  from = ProtoField.uint8("sio.from", "From", base.DEC, ends),
  kind = ProtoField.uint32("sio.kind", "Kind", base.DEC, kinds, 0xf0000000),
  grants = ProtoField.uint32("sio.grants", "Grants", base.DEC, nil, 0x0fff0000),
  control = ProtoField.uint32("sio.control", "Control credits", base.DEC, nil, 0x0000e000),
  credits = ProtoField.uint32("sio.credits", "Credits", base.DEC, nil, 0x00001fff),
  refund = ProtoField.uint32("sio.refund", "Refund", base.DEC, nil, 0x00001fff),
  credits_left = ProtoField.int32("sio.credits.left", "Credits that the sender has left"),
  control_left = ProtoField.int32("sio.control.left", "Control credits that the sender has left"),
  length = ProtoField.uint32("sio.length", "Payload of the SEND"),
  segment = ProtoField.string("sio.segment", "Packet of a longer SEND"),
  magic = ProtoField.bytes("sio.magic", "Magic"),
  version = ProtoField.uint16("sio.version", "Version"),
  type = ProtoField.uint16("sio.type", "Type", base.DEC, types),
  features = ProtoField.uint32("sio.features", "Features", base.HEX),
  slot_size = ProtoField.uint32("sio.slot_size", "Slot size"),
  slots = ProtoField.uint32("sio.slots", "Slots"),
  control_slots = ProtoField.uint32("sio.control_slots", "Control slots"),
  largest = ProtoField.uint64("sio.largest", "Largest message"),
  more_slots = ProtoField.uint32("sio.more_slots", "More slots"),
  reason = ProtoField.uint16("sio.reason", "Reason", base.DEC, reasons),
  message_number = ProtoField.uint32("sio.message.number", "Number"),
  message_length = ProtoField.uint32("sio.message.length", "Length"),
  message_data = ProtoField.bytes("sio.message.data", "Data"),
  record_kind = ProtoField.uint32("sio.record", "Record", base.DEC, { [0] = "message", [1] = "announcement" }),
  padding = ProtoField.bytes("sio.padding", "Padding"),
  stream_offset = ProtoField.uint64("sio.stream.offset", "Offset in the stream"),
  announced = ProtoField.uint32("sio.announced", "Announced length"),
  announced_in = ProtoField.framenum("sio.announced_in", "Announced in", base.NONE, frametype.REQUEST),
  granted_in = ProtoField.framenum("sio.granted_in", "Granted in", base.NONE, frametype.RESPONSE),
  complete_in = ProtoField.framenum("sio.complete_in", "Complete in"),
  lane_qp = ProtoField.uint32("sio.lane.qp", "Queue pair of the bulk lane", base.HEX),
  lane_psn = ProtoField.uint32("sio.lane.psn", "First packet sequence number", base.HEX),
  bulk_offset = ProtoField.uint32("sio.bulk.offset", "Offset in the message"),
  bulk_data = ProtoField.bytes("sio.bulk.data", "Data"),
  port = ProtoField.uint16("sio.datagram.port", "Port that it comes from"),
  sequence = ProtoField.uint16("sio.datagram.sequence", "Sequence number"),
  group_port = ProtoField.uint16("sio.datagram.group_port", "Port that it is for"),
  datagram_data = ProtoField.bytes("sio.datagram.data", "Data"),
  missing = ProtoField.uint32("sio.datagram.missing", "Missing before it"),
  soft_kind = ProtoField.uint8("sio.soft.kind", "Greeting", base.DEC, { [1] = "request", [2] = "accept", [3] = "reject" }),
  soft_datagram = ProtoField.uint8("sio.soft.datagram", "Datagram", base.DEC,
    { [1] = "message", [2] = "message with immediate data", [3] = "question", [4] = "answer" }),
  soft_opcode = ProtoField.uint8("sio.soft.opcode", "Opcode", base.DEC, soft_opcodes),
  soft_solicited = ProtoField.bool("sio.soft.solicited", "Solicited", 8, nil, 1),
  soft_wanted = ProtoField.bool("sio.soft.wanted", "An acknowledgement is wanted", 8, nil, 2),
  soft_lane = ProtoField.bool("sio.soft.lane", "Of the second queue pairs", 8, nil, 4),
  soft_status = ProtoField.uint16("sio.soft.status", "Status of a refused request"),
  soft_size = ProtoField.uint32("sio.soft.size", "Bytes of payload"),
  soft_taken = ProtoField.uint32("sio.soft.taken", "Requests that the sender has taken"),
  soft_qp = ProtoField.uint32("sio.soft.qp", "Queue pair of the sender"),
}
sio.fields = field

local function finding(name, text, group, severity)
  return ProtoExpert.new("sio." .. name, text, expert.group[group], expert.severity[severity])
end
local findings = {
  malformed = finding("malformed", "Malformed", "MALFORMED", "ERROR"),
  forbidden = finding("forbidden", "A peer may not do this", "PROTOCOL", "ERROR"),
  version = finding("other_version", "Another version of the protocol", "UNDECODED", "NOTE"),
  refused = finding("refused", "Refused", "RESPONSE_CODE", "NOTE"),
  broken = finding("disconnect", "Disconnect without an end", "RESPONSE_CODE", "WARN"),
  again = finding("again", "Seen before", "SEQUENCE", "NOTE"),
  early = finding("early", "One before it is missing: the receiver drops it", "SEQUENCE", "WARN"),
  uncaptured = finding("uncaptured", "What this acknowledges is not in the capture", "SEQUENCE", "WARN"),
  not_ready = finding("not_ready", "Receiver not ready", "SEQUENCE", "WARN"),
  lost = finding("datagram.lost", "Datagrams missing", "SEQUENCE", "NOTE"),
}
sio.experts = findings

-- --- The packet's headers ----------------------------------------------------------------------------------------------

local FIRST, MIDDLE, LAST, LAST_IMMEDIATE, ONLY, ONLY_IMMEDIATE, WRITE_ONLY, ACKNOWLEDGE = 0, 1, 2, 3, 4, 5, 10, 17
local UD_ONLY_IMMEDIATE = 0x65

-- What the dissectors before this one have found. (Not by calling Wireshark's dissector from here, with the headers read
-- before: the exceptions by which it ends at a packet that was cut would pass through Lua, and leave its stack as it was.)
local found = {
  ip_src = Field.new("ip.src"), ip_dst = Field.new("ip.dst"), ipv6_src = Field.new("ipv6.src"), ipv6_dst = Field.new("ipv6.dst"),
  opcode = Field.new("infiniband.bth.opcode"), qp = Field.new("infiniband.bth.destqp"), psn = Field.new("infiniband.bth.psn"),
  solicited = Field.new("infiniband.bth.se"), pad = Field.new("infiniband.bth.padcnt"),
  immediate = Field.new("infiniband.immdt"), key = Field.new("infiniband.deth.q_key"),
  syndrome = Field.new("infiniband.aeth.syndrome"), write_length = Field.new("infiniband.reth.dmalen"),
  attribute = Field.new("infiniband.mad.attributeid"),
  request_id = Field.new("infiniband.cm.req"), request_qp = Field.new("infiniband.cm.req.localqpn"),
  request_psn = Field.new("infiniband.cm.req.startpsn"),
  reply_to = Field.new("infiniband.cm.rep.remotecommid"), reply_qp = Field.new("infiniband.cm.rep.localqpn"),
  reply_psn = Field.new("infiniband.cm.rep.startpsn"),
  disconnected_qp = Field.new("infiniband.cm.req.remoteqpneecn"), -- of the disconnect, whatever its name says
}

local function value(name)
  local info = found[name]()
  return info and info.value
end

local function number(name)
  return tonumber(tostring(value(name)))
end

-- Not pinfo's: the connection manager's packets have InfiniBand's addresses there.
local function source(pinfo)
  return tostring(value("ip_src") or value("ipv6_src") or pinfo.src)
end

local function target(pinfo)
  return tostring(value("ip_dst") or value("ipv6_dst") or pinfo.dst)
end

-- The packet that is looked at; nil: not a whole one of InfiniBand, or there are no fields, as when nobody wants any.
local function read_packet(pinfo)
  local opcode, qp, psn = number("opcode"), number("qp"), number("psn")
  if not opcode or not qp or not psn then return nil end
  local info = found.immediate()
  local range = info and info.range
  return {
    from = source(pinfo), to = target(pinfo), opcode = opcode, solicited = value("solicited"), pad = number("pad") or 0,
    qp = qp, psn = psn, immediate = range and range:len() >= 4 and range(0, 4) or nil,
    key = number("key"), syndrome = number("syndrome"), write_length = number("write_length"),
  }
end

-- --- What is known of connections --------------------------------------------------------------------------------------

-- A flow is one direction of a queue pair: {connection, from (1 or 2, see `ends`), lane (boolean), expected (the next packet's
-- sequence number), reverse (flow), early (see find_order)}; partial (ByteArray) is what has come of a SEND whose last packet is
-- to come, told (bytes) the same of the lane's.
local flows        -- address/queue pair number that it goes to -> flow; false: another program's
local requests     -- address/communication id of a request -> its connection
local connections  -- how many
local seen         -- what a packet is and its number -> what was found out
local streams      -- of the soft provider: sender and receiver -> its flows
local destinations -- of datagrams: sender and destination -> the next sequence number

function sio.init()
  flows, requests, connections, seen, streams, destinations = {}, {}, 0, {}, {}, {}
end

-- What find() says of the packet, which it is asked the first time. (pinfo.visited would not do: see read_packet.)
local function once(pinfo, what, find)
  local id = what .. pinfo.number
  if seen[id] == nil then seen[id] = find() or false end
  return seen[id]
end

local function key(address, id)
  return address .. "/" .. tostring(id)
end

-- What an end has sent. Its greeting, its credits and its control credits are nil where they are not known.
local function new_end()
  return { messages = 0, bytes = 0, announced = {}, granted = 0, arrived = 0, ended = false }
end

local function new_connection()
  local connection = { number = connections, ends = { new_end(), new_end() } }
  connections = connections + 1
  return connection
end

local function new_flow(connection, from, lane, expected)
  return { connection = connection, from = from, lane = lane, expected = expected }
end

local function pair(one, other)
  one.reverse, other.reverse = other, one
end

-- Packets that are not in the capture may have been anything: nothing that is counted can be said any more.
local function forget_counts(connection)
  connection.uncertain = true
  for _, one in ipairs(connection.ends) do one.credits, one.control = nil, nil end
end

local function count(n, what)
  return n .. " " .. what .. (n == 1 and "" or "s")
end

-- --- The connection manager: greetings, refusals and disconnects -------------------------------------------------------

local REQUEST, REJECT, REPLY, DISCONNECT = 0x10, 0x12, 0x13, 0x15
local MAGIC = "73696F00"
local VERSION = 1
local GREETING, REFUSAL = 36, 8 -- bytes

local function add_version(tvb, tree)
  tree:add(field.magic, tvb(0, 4))
  return tree:add(field.version, tvb(4, 2))
end

-- One end's greeting as the protocol has it, 36 bytes. Figures out of their range are only said to be so.
local function add_greeting(tvb, tree)
  local greeting = {
    type = tvb(6, 2):uint(), recalls = tvb(11, 1):bitfield(7, 1) == 1, slot_size = tvb(12, 4):uint(), slots = tvb(16, 4):uint(),
    control_slots = tvb(20, 4):uint(), largest = tvb(24, 8):uint64():tonumber(), more_slots = tvb(32, 4):uint(),
  }
  add_version(tvb, tree)
  tree:add(field.type, tvb(6, 2))
  tree:add(field.features, tvb(8, 4))
  local places = {
    tree:add(field.slot_size, tvb(12, 4)), tree:add(field.slots, tvb(16, 4)), tree:add(field.control_slots, tvb(20, 4)),
    tree:add(field.largest, tvb(24, 8)), tree:add(field.more_slots, tvb(32, 4)),
  }
  local sound = {
    greeting.slot_size >= 256 and greeting.slot_size <= 65536 and greeting.slot_size % 64 == 0,
    greeting.slots >= 2 and greeting.slots <= 4096, greeting.control_slots == 4,
    greeting.largest >= greeting.slot_size, greeting.slots > 4096 or greeting.slots + greeting.more_slots <= 4096,
  }
  for i, place in ipairs(places) do
    if not sound[i] then place:add_proto_expert_info(findings.forbidden, "Out of range") end
  end
  greeting.sound = sound[1] and sound[2] and sound[3] and sound[4] and sound[5]
  return greeting
end

-- A request that is sent again is the same connection's.
local function requested(packet, greeting)
  local id, qp = key(packet.from, number("request_id")), number("request_qp")
  local connection = requests[id]
  if connection and connection.request_qp == qp and not connection.ends[2].greeting then return connection end
  connection = new_connection()
  connection.request_qp, connection.type = qp, greeting.type
  connection.ends[1].greeting = greeting
  requests[id] = connection
  -- Its sequence number is what the other end is to begin with.
  connection.to_client = new_flow(connection, 2, false, number("request_psn"))
  flows[key(packet.from, qp)] = connection.to_client
  return connection
end

-- The greeting of the end that accepts: now each knows its first credits.
local function agree(connection, greeting)
  local client, server = connection.ends[1], connection.ends[2]
  server.greeting = greeting
  if client.greeting.sound and greeting.sound then
    client.credits, client.control = greeting.slots, greeting.control_slots
    server.credits, server.control = client.greeting.slots, client.greeting.control_slots
  end
end

local function replied(packet, greeting)
  local connection = requests[key(packet.to, number("reply_to"))]
  if not connection or connection.ends[2].greeting then return connection end
  agree(connection, greeting)
  local to_server = new_flow(connection, 1, false, number("reply_psn"))
  flows[key(packet.from, number("reply_qp"))] = to_server
  pair(connection.to_client, to_server)
  return connection
end

-- Of a connection of another program no packet is to be taken for ours.
local function other_program(packet, attribute)
  local qp = attribute == REQUEST and number("request_qp") or attribute == REPLY and number("reply_qp")
  if qp then flows[key(packet.from, qp)] = false end
end

-- Magic: hexadecimal digits. Least: bytes that there must be.
local function begins_with(tvb, magic, least)
  return tvb:len() >= least and tvb(0, #magic / 2):bytes():tohex() == magic
end

local function add_connection(tree, connection, from)
  if not connection then return end
  tree:add(field.connection, connection.number):set_generated()
  if from then tree:add(field.from, from):set_generated() end
end

-- find(greeting) says whose connection it is, if that is known.
local function show_greeting(tvb, pinfo, tree, from, find)
  local ours = tree:add(sio, tvb(0, GREETING), "libsio, greeting")
  local greeting = add_greeting(tvb, ours)
  local known = once(pinfo, "greeting", function() return { connection = find(greeting) } end)
  add_connection(ours, known.connection, from)
  pinfo.cols.info:append(string.format(", libsio: %s, %s of %d bytes", types[greeting.type] or "unknown type",
    count(greeting.slots, "slot"), greeting.slot_size))
end

local function show_refusal(tvb, pinfo, tree)
  local ours = tree:add(sio, tvb(0, REFUSAL), "libsio, refusal")
  add_version(tvb, ours)
  local reason = reasons[tvb(6, 2):uint()] or "unknown reason"
  ours:add(field.reason, tvb(6, 2)):add_proto_expert_info(findings.refused, "Refused: " .. reason)
  pinfo.cols.info:append(", libsio: " .. reason)
end

-- What follows the version is of that version.
local function show_other_version(tvb, pinfo, tree)
  local version = tvb(4, 2):uint()
  add_version(tvb, tree:add(sio, tvb(), "libsio, greeting")):add_proto_expert_info(findings.version)
  pinfo.cols.info:append(", libsio: version " .. version)
end

-- The private data of a disconnect is not libsio's, but that one comes before the end is.
local function show_disconnect(tvb, pinfo, tree, packet)
  local known = once(pinfo, "disconnect", function()
    local flow = flows[key(packet.to, number("disconnected_qp"))]
    return flow and { flow = flow, ended = flow.connection.ends[flow.from].ended }
  end)
  if not known then return false end
  local ours = tree:add(sio, tvb(0, 0), "libsio, disconnect")
  add_connection(ours, known.flow.connection, known.flow.from)
  if not known.ended then ours:add_proto_expert_info(findings.broken) end
  return true
end

local function connection_manager(tvb, pinfo, tree)
  local packet, attribute = read_packet(pinfo), number("attribute")
  if not packet then return false end
  if attribute == DISCONNECT then return show_disconnect(tvb, pinfo, tree, packet) end
  if attribute ~= REQUEST and attribute ~= REPLY and attribute ~= REJECT then return false end
  local is_ours = begins_with(tvb, MAGIC, REFUSAL)
  if is_ours and attribute == REJECT then
    show_refusal(tvb, pinfo, tree)
  elseif is_ours and tvb(4, 2):uint() == VERSION and tvb:len() >= GREETING then
    local from, find = 1, requested
    if attribute == REPLY then from, find = 2, replied end
    show_greeting(tvb, pinfo, tree, from, function(greeting) return find(packet, greeting) end)
  else
    once(pinfo, "other", function() other_program(packet, attribute) end)
    if not is_ours then return false end
    show_other_version(tvb, pinfo, tree)
  end
  return true
end

-- --- Frames ------------------------------------------------------------------------------------------------------------

-- The immediate data, as numbers.
local function decode_immediate(range)
  local imm = {
    kind = range:bitfield(0, 4), grants = range:bitfield(4, 12), control = range:bitfield(16, 3),
    credits = range:bitfield(19, 13), refund = 0,
  }
  if imm.kind == REFUND then imm.credits, imm.refund = 0, imm.credits end
  return imm
end

-- The records of a train, each {at, length, announced}, and what is wrong with what follows them.
local function records_of(tvb)
  local records, at, size = {}, 0, tvb:len()
  if size == 0 then return records, "A train without records" end
  while at < size do
    if size - at < 8 then return records, "Less than a record's header is left" end
    local length, word = tvb(at, 4):uint(), tvb(at + 4, 4):uint()
    if word > 1 then return records, "The second word is neither zero nor one" end
    local whole = 8
    if word == 0 then whole = 8 + math.max(8, math.ceil(length / 8) * 8) end
    if whole > size - at then return records, "The record is longer than the train" end
    records[#records + 1] = { at = at, length = length, announced = word == 1, size = whole }
    at = at + whole
  end
  return records
end

-- What the frame itself is, whoever sent it when: {imm, records, wrong (text)}.
local function parse_frame(tvb, imm_range)
  local frame = { imm = decode_immediate(imm_range), records = {} }
  local kind = frame.imm.kind
  if not kinds[kind] then
    frame.wrong = "Unknown kind"
  elseif kind == TRAIN then
    frame.records, frame.wrong = records_of(tvb)
  elseif kind ~= MESSAGE and kind ~= LANE and tvb:len() > 0 then
    frame.wrong = "A payload, where none may be"
  elseif kind == LANE then
    if tvb:len() ~= 8 then
      frame.wrong = "A lane frame has 8 bytes"
    elseif tvb(0, 1):uint() + tvb(4, 1):uint() > 0 then
      frame.wrong = "A number of more than 24 bits"
    end
  end
  return frame
end

-- These follow what a frame means given those before it, and tell fault() which rules it breaks, as far as that can be known.
local function count_credits(connection, from, imm, fault)
  local me, peer = connection.ends[from], connection.ends[3 - from]
  if not me.credits or not peer.credits then return end
  if imm.kind == MESSAGE or imm.kind == TRAIN then
    if me.credits < 1 then fault("Sent without a credit") end
    me.credits = me.credits - 1
  else
    if me.credits + me.control < 1 then fault("Sent while no receive is posted for it") end
    me.control = me.control - 1
  end
  if imm.refund > math.max(me.credits, 0) then fault("More is refunded than there are credits") end
  me.credits = me.credits - imm.refund
  peer.credits, peer.control = peer.credits + imm.credits, peer.control + imm.control
  if peer.credits > me.greeting.slots + me.greeting.more_slots then fault("More credits than were used") end
  if peer.control > me.greeting.control_slots then fault("More control credits than were used") end
end

local function check_recall(connection, from, imm, fault)
  local me, peer = connection.ends[from], connection.ends[3 - from]
  if imm.kind == RECALL then
    if me.greeting and peer.greeting and not (me.greeting.recalls and peer.greeting.recalls) then
      fault("A recall to which the greetings did not agree")
    end
    if me.recalled then fault("A second recall before the answer") end
    me.recalled = true
  elseif imm.kind == REFUND then
    -- Of a connection that is known from its beginning; else the recall may have been before the capture.
    if peer.credits and not peer.recalled then fault("A refund that nobody asked for") end
    peer.recalled = false
  end
end

local function count_grants(connection, from, packet, grants, fault)
  local peer, granted = connection.ends[3 - from], {}
  for _ = 1, connection.uncertain and 0 or grants do
    local announcement = peer.announced[peer.granted + 1]
    if not announcement then
      -- Of a connection that is known from its beginning; else the announcement may have been before the capture.
      if peer.credits then fault("More grants than messages were announced") end
      break
    end
    announcement.granted_in = packet
    peer.granted = peer.granted + 1
    granted[#granted + 1] = announcement
  end
  return granted
end

local function check_announcement(connection, from, length, fault)
  local me, peer = connection.ends[from], connection.ends[3 - from]
  if not peer.greeting then return end
  if me.credits and not me.lane then fault("An announcement before the lane frame") end
  if length <= peer.greeting.slot_size then fault("An announcement of a message that fits into a slot") end
  if length > math.min(peer.greeting.largest, 2 ^ 30) then fault("An announcement of a message that is too long") end
  if me.credits and #me.announced - me.granted > 64 then fault("One announcement too many") end
end

-- Numbers the messages; an announced one has the number of its place.
local function count_messages(connection, from, packet, frame, size, fault)
  local me = connection.ends[from]
  local first = { number = me.messages + 1, offset = me.bytes }
  if frame.imm.kind == MESSAGE then
    me.messages, me.bytes = me.messages + 1, me.bytes + size
  end
  for _, record in ipairs(frame.records) do
    me.messages, me.bytes = me.messages + 1, me.bytes + record.length
    if record.announced then
      record.announcement = { number = me.messages, length = record.length, announced_in = packet, came = 0 }
      me.announced[#me.announced + 1] = record.announcement
      check_announcement(connection, from, record.length, fault)
    end
  end
  return not connection.uncertain and first or nil
end

local function check_stream(frame, size, fault)
  if frame.imm.kind == TRAIN or frame.imm.kind == LANE then fault("On a stream there are no trains and lanes") end
  if frame.imm.grants > 0 then fault("On a stream there are no grants") end
  if frame.imm.kind == MESSAGE and size == 0 then fault("On a stream no message is empty") end
end

-- The lane's flow to the end that has said where it is; its sequence numbers begin where the other end has said.
local function found_lane(connection, from, address, tvb, fault)
  local me, peer = connection.ends[from], connection.ends[3 - from]
  if me.lane then return fault("A second lane frame") end
  me.lane = { flow = new_flow(connection, 3 - from, true), psn = tvb(5, 3):uint() }
  flows[key(address, tvb(1, 3):uint())] = me.lane.flow
  if peer.lane then
    me.lane.flow.expected, peer.lane.flow.expected = peer.lane.psn, me.lane.psn
    pair(me.lane.flow, peer.lane.flow)
  end
end

-- All that a new frame changes; what is shown of it is kept in the frame.
local function follow_frame(flow, frame, tvb, packet, number_of_packet)
  local connection, from, imm = flow.connection, flow.from, frame.imm
  local me, peer = connection.ends[from], connection.ends[3 - from]
  frame.faults = {}
  local function fault(text) frame.faults[#frame.faults + 1] = text end
  if me.ended and (imm.kind == MESSAGE or imm.kind == TRAIN or imm.kind == END) then fault("After the end") end
  if peer.greeting and tvb:len() > peer.greeting.slot_size then fault("A payload larger than the slot") end
  if connection.type == STREAM then check_stream(frame, tvb:len(), fault) end
  count_credits(connection, from, imm, fault)
  check_recall(connection, from, imm, fault)
  frame.granted = count_grants(connection, from, number_of_packet, imm.grants, fault)
  frame.first = count_messages(connection, from, number_of_packet, frame, tvb:len(), fault)
  if imm.kind == LANE and not frame.wrong then found_lane(connection, from, packet.from, tvb, fault) end
  if imm.kind == END then me.ended = true end
  frame.credits_left, frame.control_left = me.credits, me.control
end

-- --- Frames, shown -----------------------------------------------------------------------------------------------------

local function data_of(tvb, at, length)
  return length > 0 and tvb(at, length) or nil
end

local function add_immediate(tree, range, frame)
  tree:add(field.kind, range)
  tree:add(field.grants, range)
  tree:add(field.control, range)
  tree:add(frame.imm.kind == REFUND and field.refund or field.credits, range)
  if frame.credits_left then
    tree:add(field.credits_left, frame.credits_left):set_generated()
    tree:add(field.control_left, frame.control_left):set_generated()
  end
  for _, announcement in ipairs(frame.granted or {}) do
    tree:add(field.announced_in, announcement.announced_in):set_generated()
  end
end

local function add_number(tree, n)
  if n then tree:add(field.message_number, n):set_generated() end
end

local function add_announcement(tree, tvb, record, n)
  local place = tree:add(tvb(record.at, 8), string.format("Announcement of %s", count(record.length, "byte")))
  add_number(place, n)
  place:add(field.announced, tvb(record.at, 4))
  place:add(field.record_kind, tvb(record.at + 4, 4))
  local announcement = record.announcement
  if not announcement then return end
  if announcement.granted_in then place:add(field.granted_in, announcement.granted_in):set_generated() end
  if announcement.complete_in then place:add(field.complete_in, announcement.complete_in):set_generated() end
end

local function add_record(tree, tvb, record, n)
  if record.announced then return add_announcement(tree, tvb, record, n) end
  local place = tree:add(tvb(record.at, record.size), string.format("Message of %s", count(record.length, "byte")))
  add_number(place, n)
  place:add(field.message_length, tvb(record.at, 4))
  place:add(field.record_kind, tvb(record.at + 4, 4))
  local data = data_of(tvb, record.at + 8, record.length)
  if data then place:add(field.message_data, data) end
  local padding = data_of(tvb, record.at + 8 + record.length, record.size - 8 - record.length)
  if padding then place:add(field.padding, padding) end
end

local function add_payload(tree, tvb, frame, connection)
  local kind, first = frame.imm.kind, frame.first
  if kind == MESSAGE then
    if connection.type == STREAM then
      if first then tree:add(field.stream_offset, UInt64(first.offset)):set_generated() end
    else
      add_number(tree, first and first.number)
    end
    tree:add(field.message_length, tvb:len()):set_generated()
    if tvb:len() > 0 then tree:add(field.message_data, tvb()) end
  elseif kind == LANE and not frame.wrong then
    tree:add(field.lane_qp, tvb(0, 4))
    tree:add(field.lane_psn, tvb(4, 4))
  end
  for i, record in ipairs(frame.records) do add_record(tree, tvb, record, first and first.number + i - 1) end
end

-- A train in a few words: how many messages and bytes, and what it announces.
local function train_text(frame)
  local messages, bytes, announced = 0, 0, {}
  for _, record in ipairs(frame.records) do
    if record.announced then
      announced[#announced + 1] = record.length
    else
      messages, bytes = messages + 1, bytes + record.length
    end
  end
  local text = {}
  if messages > 0 then text[1] = string.format("%s, %s", count(messages, "message"), count(bytes, "byte")) end
  if #announced > 4 then
    text[#text + 1] = "announces " .. count(#announced, "message")
  elseif #announced > 0 then
    text[#text + 1] = "announces " .. table.concat(announced, ", ") .. " bytes"
  end
  return "Train: " .. table.concat(text, ", ")
end

local function frame_text(frame, tvb, connection)
  local imm, text = frame.imm
  if imm.kind == MESSAGE then
    text = (connection.type == STREAM and "Stream, " or "Message, ") .. count(tvb:len(), "byte")
  elseif imm.kind == TRAIN then
    text = train_text(frame)
  elseif imm.kind == LANE and not frame.wrong then
    text = string.format("Lane at queue pair 0x%06x", tvb(0, 4):uint())
  else
    text = kinds[imm.kind] and kinds[imm.kind]:gsub("^%l", string.upper) or "Unknown kind"
    if imm.kind == REFUND then text = text .. " of " .. count(imm.refund, "credit") end
  end
  local returned = {}
  if imm.credits > 0 then returned[1] = count(imm.credits, "credit") end
  if imm.control > 0 then returned[#returned + 1] = count(imm.control, "control credit") end
  if #returned > 0 then text = text .. ", returns " .. table.concat(returned, " and ") end
  if imm.grants > 0 then text = text .. ", grants " .. imm.grants end
  return text
end

local function show_frame(tvb, tree, known, imm_range)
  local frame, flow = known.frame, known.flow
  local text = frame_text(frame, tvb, flow.connection)
  local ours = tree:add(sio, tvb(), "libsio, " .. text)
  add_connection(ours, flow.connection, flow.from)
  add_immediate(ours, imm_range, frame)
  ours:add(field.length, tvb:len()):set_generated()
  add_payload(ours, tvb, frame, flow.connection)
  if frame.wrong then ours:add_proto_expert_info(findings.malformed, frame.wrong) end
  for _, fault in ipairs(frame.faults or {}) do ours:add_proto_expert_info(findings.forbidden, fault) end
  return ours, text
end

-- --- The bulk lane -----------------------------------------------------------------------------------------------------

local PIECE = 2 ^ 20

-- Takes the bytes of a packet for the first announced message that is not complete yet.
local function follow_bulk(flow, known, size, is_last, packet)
  local me = flow.connection.ends[flow.from]
  local announcement = not flow.connection.uncertain and me.announced[me.arrived + 1] or nil
  flow.told = (flow.told or 0) + size
  if announcement then
    known.announcement, known.offset = announcement, announcement.came
    announcement.came = announcement.came + size
    local due = math.min(PIECE, announcement.length - (announcement.came - flow.told))
    if flow.told > due or (is_last and flow.told ~= due) then known.fault = "A SEND of another length than is due" end
    if not announcement.granted_in then known.fault = "A message that was not granted" end
  elseif me.credits then
    known.fault = "A message that was not announced"
  end
  if is_last then flow.told = 0 end
  if announcement and is_last and announcement.came >= announcement.length then
    announcement.complete_in = packet
    me.arrived = me.arrived + 1
    known.complete = true
  end
end

local function bulk_text(known, size)
  local announcement = known.announcement
  if not announcement then return "Bulk lane, " .. count(size, "byte") end
  return string.format("Bulk lane, message %d, %d of %s%s", announcement.number, math.min(known.offset + size, announcement.length),
    count(announcement.length, "byte"), known.complete and ", complete" or "")
end

local function show_bulk(tvb, tree, known)
  local text = bulk_text(known, tvb:len())
  local ours = tree:add(sio, tvb(), "libsio, " .. text)
  local announcement = known.announcement
  add_connection(ours, known.flow.connection, known.flow.from)
  if known.part ~= "only" then ours:add(field.segment, known.part):set_generated() end
  if announcement then
    add_number(ours, announcement.number)
    ours:add(field.bulk_offset, known.offset):set_generated()
    ours:add(field.announced_in, announcement.announced_in):set_generated()
    if announcement.granted_in then ours:add(field.granted_in, announcement.granted_in):set_generated() end
    if announcement.complete_in then ours:add(field.complete_in, announcement.complete_in):set_generated() end
  end
  if tvb:len() > 0 then ours:add(field.bulk_data, tvb()) end
  if known.fault then ours:add_proto_expert_info(findings.forbidden, known.fault) end
  return ours, text
end

-- --- RC packets --------------------------------------------------------------------------------------------------------

-- opcode -> which packet of a SEND it is
local parts = {
  [FIRST] = "first", [MIDDLE] = "middle", [LAST] = "last", [LAST_IMMEDIATE] = "last", [ONLY] = "only", [ONLY_IMMEDIATE] = "only",
}
local LARGEST_SLOT = 65536

-- known.order is "new"; "again": seen before, the sender sends again what it takes for lost; "early": one before it is missing, so
-- the receiver drops it and the sender will send it again; "unknown": it seemed so, but the missing one only is not in the
-- capture, as an acknowledgement tells.
local function find_order(flow, psn, known)
  local ahead = flow.expected and (psn - flow.expected) % 0x1000000 or 0
  if ahead >= 0x800000 then
    known.order = "again"
  elseif ahead > 0 then
    known.order = "early"
    flow.early = flow.early or {}
    flow.early[#flow.early + 1] = known
  else
    known.order, flow.early = "new", nil
    flow.expected = (psn + 1) % 0x1000000
  end
end

-- The whole SEND as bytes, of its last packet; nil if its first is not in the capture.
local function assemble(flow, part, tvb)
  if part == "first" then
    flow.partial = tvb:bytes()
  elseif flow.partial and flow.partial:len() + tvb:len() <= LARGEST_SLOT then
    flow.partial:append(tvb:bytes())
  else
    flow.partial = nil
  end
  if part ~= "last" then return nil end
  local whole = flow.partial
  flow.partial = nil
  return whole
end

-- A frame that hardly anything else is makes an unknown flow one of ours: one that is solicited and has its form. A message
-- has no form.
local function guess(tvb, packet)
  if not sio.prefs.guess or packet.opcode ~= ONLY_IMMEDIATE or not packet.immediate or not packet.solicited then return nil end
  local frame = parse_frame(tvb, packet.immediate)
  if frame.wrong or frame.imm.kind == MESSAGE then return nil end
  if frame.imm.kind == CREDIT and packet.immediate:bitfield(4, 28) == 0 then return nil end
  local flow = new_flow(new_connection(), 1, false)
  flows[key(packet.to, packet.qp)] = flow
  return flow
end

-- What is wrong with an opcode as such.
local function opcode_fault(packet, flow, part)
  if packet.opcode == WRITE_ONLY and packet.write_length == 0 then return nil end
  if not part then return "Neither a SEND nor an empty RDMA WRITE" end
  if flow.lane and packet.immediate then return "Immediate data on the bulk lane" end
  if not flow.lane and (packet.opcode == ONLY or packet.opcode == LAST) then return "A SEND without immediate data" end
end

-- Finds out what a packet is: the first time, in the order of the capture.
local function follow(tvb, packet, number_of_packet)
  local flow = flows[key(packet.to, packet.qp)]
  if flow == nil then flow = guess(tvb, packet) end
  if not flow then return nil end
  local part = parts[packet.opcode]
  local known = { flow = flow, part = part }
  find_order(flow, packet.psn, known)
  known.opcode_fault = opcode_fault(packet, flow, part)
  if flow.lane then
    local is_last = part == "last" or part == "only"
    if part and known.order == "new" then follow_bulk(flow, known, tvb:len(), is_last, number_of_packet) end
  elseif part then
    if part ~= "only" and known.order == "new" then known.whole = assemble(flow, part, tvb) end
    known.is_frame = packet.immediate and (part == "only" or known.whole ~= nil)
  end
  return known
end

local function show_other(tvb, tree, packet, known)
  local text = packet.opcode == WRITE_ONLY and "Keepalive" or "Packet of another kind"
  if known.part then text = string.format("%s packet of a SEND, %s", known.part, count(tvb:len(), "byte")) end
  local ours = tree:add(sio, tvb(), "libsio, " .. text)
  add_connection(ours, known.flow.connection, known.flow.from)
  if known.part then ours:add(field.segment, known.part):set_generated() end
  return ours, text
end

local function show(tvb, pinfo, tree, packet, known)
  if known.flow.lane and known.part then return show_bulk(tvb, tree, known) end
  if not known.is_frame then return show_other(tvb, tree, packet, known) end
  local whole = known.whole and known.whole:tvb("libsio SEND") or tvb
  if not known.frame then
    known.frame = parse_frame(whole, packet.immediate)
    if known.order == "new" then follow_frame(known.flow, known.frame, whole, packet, pinfo.number) end
  end
  return show_frame(whole, tree, known, packet.immediate)
end

local function rc_packet(tvb, pinfo, tree, packet)
  local known = once(pinfo, "rc", function() return follow(tvb, packet, pinfo.number) end)
  if not known then return false end
  local ours, text = show(tvb, pinfo, tree, packet, known)
  if known.opcode_fault then ours:add_proto_expert_info(findings.forbidden, known.opcode_fault) end
  if known.order == "again" then
    ours:add_proto_expert_info(findings.again)
    text = "[again] " .. text
  elseif known.order == "early" then
    ours:add_proto_expert_info(findings.early)
    text = "[out of order] " .. text
  end
  pinfo.cols.protocol:set("libsio")
  pinfo.cols.info:set(text)
  return true
end

-- An ACK of packets that were not seen says that the capture lacks them: what was "early" since then was not.
local function follow_acknowledgement(packet)
  local flow = flows[key(packet.to, packet.qp)]
  local acknowledged = flow and flow.reverse
  if not acknowledged then return nil end
  local code = math.floor((packet.syndrome or 0) / 32)
  local ahead = acknowledged.expected and (packet.psn - acknowledged.expected) % 0x1000000
  local uncaptured = code == 0 and ahead and ahead < 0x800000
  if uncaptured then
    acknowledged.expected, acknowledged.partial = (packet.psn + 1) % 0x1000000, nil
    for _, known in ipairs(acknowledged.early or {}) do known.order = "unknown" end
    acknowledged.early = nil
    forget_counts(flow.connection)
  end
  return (uncaptured or code == 1) and { flow = flow, uncaptured = uncaptured, not_ready = code == 1 }
end

local function show_acknowledgement(tvb, pinfo, tree, packet)
  local known = once(pinfo, "acknowledgement", function() return follow_acknowledgement(packet) end)
  if not known then return end
  local ours = tree:add(sio, tvb(0, 0), "libsio, acknowledgement")
  add_connection(ours, known.flow.connection, known.flow.from)
  if known.not_ready then ours:add_proto_expert_info(findings.not_ready) end
  if known.uncaptured then ours:add_proto_expert_info(findings.uncaptured) end
end

-- --- Datagrams ---------------------------------------------------------------------------------------------------------

local CM_KEY = 0x01234567
local EVERYBODY = 0xffffff -- the queue pair of a group

-- How many between the last one and this are missing: sequence numbers go from 65535 to 1.
local function follow_datagram(from, port, to, sequence)
  local id = table.concat({ from, port, to }, " ")
  local expected = destinations[id]
  local ahead = expected and sequence > 0 and (sequence - expected) % 65535 or 0
  if ahead >= 32768 then return 0 end -- late, or a duplicate
  destinations[id] = sequence == 65535 and 1 or sequence + 1
  return ahead
end

local function show_datagram(tvb, pinfo, tree, packet)
  local imm_range = packet.immediate
  local port, sequence = imm_range(0, 2):uint(), imm_range(2, 2):uint()
  local is_group = packet.qp == EVERYBODY
  local size = tvb:len() - (is_group and 2 or 0)
  local text = string.format("Datagram %d from port %d, %s", sequence, port, count(math.max(size, 0), "byte"))
  local ours = tree:add(sio, tvb(), "libsio, " .. text)
  ours:add(field.port, imm_range(0, 2))
  ours:add(field.sequence, imm_range(2, 2))
  if size > 0 then ours:add(field.datagram_data, tvb(0, size)) end
  local to = packet.qp
  if size < 0 then
    ours:add_proto_expert_info(findings.malformed, "No port that it is for")
  elseif is_group then
    ours:add(field.group_port, tvb(size, 2))
    to = tvb(size, 2):uint()
    text = text .. " for port " .. to
  end
  local missing = once(pinfo, "datagram", function()
    return follow_datagram(packet.from, port, packet.to .. " " .. to, sequence)
  end)
  if missing > 0 then
    ours:add(field.missing, missing):set_generated():add_proto_expert_info(findings.lost)
  end
  pinfo.cols.protocol:set("libsio")
  pinfo.cols.info:set(text)
end

local function ud_packet(tvb, pinfo, tree, packet)
  local tag = packet.immediate
  if not sio.prefs.datagrams or not tag or packet.key ~= CM_KEY or tag(0, 2):uint() == 0 then return false end
  show_datagram(tvb, pinfo, tree, packet)
  return true
end

-- --- The soft provider: connections of TCP ------------------------------------------------------------------------------

local SOFT_MAGIC, SOFT_DATAGRAM_MAGIC = "73696F5301", "73696F44"
local SOFT_HEADER, SOFT_DATAGRAM_HEADER = 16, 24
local SOFT_REQUEST, SOFT_ACCEPT, SOFT_REJECT = 1, 2, 3
local SOFT_SEND, SOFT_SEND_IMMEDIATE, SOFT_WRITE, SOFT_WRITE_IMMEDIATE, SOFT_REFUSAL = 2, 3, 4, 5, 7

local soft = Proto("sio_soft", "libsio's soft provider")
-- Frames of it that the packet being looked at has had: one packet may have any number.
local soft_place = 0

local function soft_key(from, from_port, to, to_port)
  return table.concat({ tostring(from), from_port, tostring(to), to_port }, " ")
end

-- The two ways of a connection, each with the flow of its bulk lane.
local function soft_requested(pinfo, greeting)
  local connection = new_connection()
  connection.type, connection.ends[1].greeting = greeting.type, greeting
  for from = 1, 2 do
    local flow = new_flow(connection, from, false)
    flow.of_lane = new_flow(connection, from, true)
    local id = from == 1 and soft_key(pinfo.src, pinfo.src_port, pinfo.dst, pinfo.dst_port) or
      soft_key(pinfo.dst, pinfo.dst_port, pinfo.src, pinfo.src_port)
    streams[id] = flow
  end
  return connection
end

local function soft_accepted(pinfo, greeting)
  local flow = streams[soft_key(pinfo.src, pinfo.src_port, pinfo.dst, pinfo.dst_port)]
  local connection = flow and flow.connection
  if connection and not connection.ends[2].greeting then agree(connection, greeting) end
  return connection
end

local function show_soft_greeting(tvb, pinfo, tree)
  local kind, private = tvb(5, 1):uint(), tvb(SOFT_HEADER):tvb()
  local place = tree:add(soft, tvb(), "libsio's soft provider, greeting")
  place:add(field.soft_kind, tvb(5, 1))
  place:add(field.soft_qp, tvb(8, 4))
  pinfo.cols.info:set(kind == SOFT_REQUEST and "Request" or kind == SOFT_ACCEPT and "Accept" or "Reject")
  if kind == SOFT_REJECT then
    if begins_with(private, MAGIC, REFUSAL) then show_refusal(private, pinfo, tree) end
  elseif begins_with(private, MAGIC, GREETING) then
    local find = kind == SOFT_REQUEST and soft_requested or soft_accepted
    show_greeting(private, pinfo, tree, kind, function(greeting) return find(pinfo, greeting) end)
  end
end

local function add_soft_header(tvb, tree)
  local opcode = tvb(0, 1):uint()
  local place = tree:add(soft, tvb(0, SOFT_HEADER), "libsio's soft provider, " .. (soft_opcodes[opcode] or "unknown opcode"))
  place:add(field.soft_opcode, tvb(0, 1))
  place:add(field.soft_solicited, tvb(1, 1))
  place:add(field.soft_wanted, tvb(1, 1))
  place:add(field.soft_lane, tvb(1, 1))
  if opcode == SOFT_REFUSAL then place:add(field.soft_status, tvb(2, 2)):add_proto_expert_info(findings.refused) end
  place:add(field.soft_size, tvb(4, 4))
  place:add(field.soft_taken, tvb(12, 4))
  return place
end

-- A SEND or RDMA WRITE, found out as a packet of RC that is the only one: TCP has put all in order.
local function soft_follow(tvb, pinfo, opcode, is_lane)
  local flow = streams[soft_key(pinfo.src, pinfo.src_port, pinfo.dst, pinfo.dst_port)]
  if not flow then return nil end
  local known = { flow = is_lane and flow.of_lane or flow, part = opcode <= SOFT_SEND_IMMEDIATE and "only" or nil, order = "new" }
  if opcode == SOFT_WRITE_IMMEDIATE then
    known.opcode_fault = "Neither a SEND nor an empty RDMA WRITE"
  elseif is_lane and opcode == SOFT_SEND_IMMEDIATE then
    known.opcode_fault = "Immediate data on the bulk lane"
  elseif not is_lane and opcode == SOFT_SEND then
    known.opcode_fault = "A SEND without immediate data"
  end
  if is_lane and opcode == SOFT_SEND then follow_bulk(known.flow, known, tvb:len(), true, pinfo.number) end
  known.is_frame = not is_lane and opcode == SOFT_SEND_IMMEDIATE
  return known
end

local function show_soft_frame(tvb, pinfo, tree)
  local opcode, is_lane = tvb(0, 1):uint(), tvb(1, 1):bitfield(5, 1) == 1
  local text = soft_opcodes[opcode] or "unknown opcode"
  local place = add_soft_header(tvb, tree)
  if not soft_opcodes[opcode] then place:add_proto_expert_info(findings.malformed, "Unknown opcode") end
  if opcode >= SOFT_SEND and opcode <= SOFT_WRITE_IMMEDIATE then
    local packet = { opcode = opcode == SOFT_WRITE and WRITE_ONLY or opcode, immediate = tvb(8, 4), from = tostring(pinfo.src) }
    local payload = tvb:len() > SOFT_HEADER and tvb(SOFT_HEADER):tvb() or tvb(0, 0):tvb()
    local known = once(pinfo, "soft " .. soft_place .. " ", function()
      return soft_follow(payload, pinfo, opcode, is_lane)
    end)
    if known then
      local ours
      ours, text = show(payload, pinfo, tree, packet, known)
      if known.opcode_fault then ours:add_proto_expert_info(findings.forbidden, known.opcode_fault) end
    end
  end
  if soft_place == 1 then pinfo.cols.info:set(text) else pinfo.cols.info:append("; " .. text) end
end

-- The bytes of the greeting or frame that begins at `at`; nil: neither, or its header is not all there yet.
local function soft_size(tvb, at)
  if tvb:len() - at < SOFT_HEADER then return nil end
  if tvb(at, 1):uint() == 0x73 then return SOFT_HEADER + tvb(at + 6, 1):uint() end
  return SOFT_HEADER + tvb(at + 4, 4):uint()
end

-- TCP gives what is there, and is told what more is wanted.
function soft.dissector(tvb, pinfo, tree)
  local at = 0
  pinfo.cols.protocol:set("libsio")
  while at < tvb:len() do
    local size = soft_size(tvb, at)
    if size and size > SOFT_HEADER + PIECE then
      tree:add(soft, tvb(at)):add_proto_expert_info(findings.malformed, "Longer than any SEND")
      return
    end
    if not size or size > tvb:len() - at then
      pinfo.desegment_offset = at
      pinfo.desegment_len = size and size - (tvb:len() - at) or DESEGMENT_ONE_MORE_SEGMENT
      return
    end
    soft_place = soft_place + 1
    local frame = tvb(at, size):tvb()
    local show_it = begins_with(frame, SOFT_MAGIC, SOFT_HEADER) and show_soft_greeting or show_soft_frame
    show_it(frame, pinfo, tree)
    at = at + size
  end
end

-- A connection that begins with a greeting is the soft provider's to its end.
local function soft_connection(tvb, pinfo, tree)
  if not begins_with(tvb, SOFT_MAGIC, SOFT_HEADER) then return false end
  pinfo.conversation = soft
  soft.dissector(tvb, pinfo, tree)
  return true
end

local function soft_datagram(tvb, pinfo, tree)
  if not begins_with(tvb, SOFT_DATAGRAM_MAGIC, SOFT_DATAGRAM_HEADER) then return false end
  local kind, qp = tvb(4, 1):uint(), tvb(8, 4):uint()
  local place = tree:add(soft, tvb(0, SOFT_DATAGRAM_HEADER), "libsio's soft provider, datagram")
  place:add(field.soft_datagram, tvb(4, 1))
  place:add(field.soft_solicited, tvb(5, 1))
  place:add(field.soft_qp, tvb(12, 4))
  pinfo.cols.protocol:set("libsio")
  pinfo.cols.info:set(kind == 3 and "Question" or kind == 4 and "Answer" or "Datagram")
  if kind == 2 and tvb(20, 2):uint() ~= 0 then
    local packet = { from = tostring(pinfo.src), to = tostring(pinfo.dst), qp = qp, immediate = tvb(20, 4) }
    local payload = tvb:len() > SOFT_DATAGRAM_HEADER and tvb(SOFT_DATAGRAM_HEADER):tvb() or tvb(0, 0):tvb()
    show_datagram(payload, pinfo, tree, packet)
  end
  return true
end

-- --- Registration ------------------------------------------------------------------------------------------------------

-- What follows the payload up to a multiple of 4 is not the program's.
local function without_padding(tvb, pad)
  local size = tvb:len() - pad
  return size > 0 and size < tvb:len() and tvb(0, size):tvb() or tvb
end

local function payload(tvb, pinfo, tree)
  local packet = read_packet(pinfo)
  if not packet then return false end
  tvb = without_padding(tvb, packet.pad)
  if packet.opcode == UD_ONLY_IMMEDIATE then return ud_packet(tvb, pinfo, tree, packet) end
  if packet.opcode < 0x20 then return rc_packet(tvb, pinfo, tree, packet) end
  return false
end

-- Acknowledgements have no payload, so they come this way.
function sio.dissector(tvb, pinfo, tree)
  soft_place = 0 -- here each packet ends
  local packet = read_packet(pinfo)
  if packet and packet.opcode == ACKNOWLEDGE then show_acknowledgement(tvb, pinfo, tree, packet) end
end

sio:register_heuristic("infiniband.mad.cm.private", connection_manager)
sio:register_heuristic("infiniband.payload", payload)
soft:register_heuristic("tcp", soft_connection)
soft:register_heuristic("udp", soft_datagram)
register_postdissector(sio)
-- Somebody who wants fields: so they are there when Wireshark reads the capture, and not only when it shows a packet.
Listener.new("frame")
