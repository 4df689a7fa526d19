# SPDX-License-Identifier: BSD-2-Clause
"""RoCE v2 packets of libsio's, made by hand, and what tshark says of a capture with the dissector, src/tools/wireshark/sio.lua."""
import ipaddress
import os
import pathlib
import struct
import subprocess

DISSECTOR = pathlib.Path(__file__).resolve().parents[2] / 'src' / 'tools' / 'wireshark' / 'sio.lua'
HOSTS = {1: '10.9.0.1', 2: '10.9.0.2'}  # end 1 connects, as in the dissector
MTU = 4096
MAGIC = b'sio\0'

# Opcodes of RC and UD.
FIRST, MIDDLE, LAST, LAST_IMM, ONLY, ONLY_IMM, WRITE_ONLY, WRITE_ONLY_IMM = 0, 1, 2, 3, 4, 5, 10, 11
ACKNOWLEDGE, UD_ONLY, UD_ONLY_IMM = 0x11, 0x64, 0x65
MESSAGE, TRAIN, CREDIT, END, LANE, RECALL, REFUND = 1, 2, 3, 4, 5, 6, 7
REQUEST, REJECT, REPLY, DISCONNECT = 0x10, 0x12, 0x13, 0x15


def immediate(kind, credits=0, control=0, grants=0):
    return struct.pack('>I', kind << 28 | grants << 16 | control << 13 | credits)


def message(data):
    """A record of a train."""
    return struct.pack('>II', len(data), 0) + (data + bytes(-len(data) % 8) or bytes(8))


def announcement(length):
    return struct.pack('>II', length, 1)


def greeting(kind=1, slot_size=8192, slots=64, largest=1 << 20, more=0, version=1, control=4, features=1):
    return MAGIC + struct.pack('>HHIIIIQI', version, kind, features, slot_size, slots, control, largest, more)


def ip_header(source, target, size):
    """With Ethernet's, of a UDP packet of so many bytes."""
    source, target = ipaddress.ip_address(source), ipaddress.ip_address(target)
    if source.version == 4:
        header = struct.pack('>BBHHHBBH', 0x45, 0, 20 + size, 0, 0x4000, 64, 17, 0)
    else:
        header = struct.pack('>IHBB', 6 << 28, size, 17, 64)
    return bytes(12) + (b'\x08\x00' if source.version == 4 else b'\x86\xdd') + header + source.packed + target.packed


class Capture:
    """Packets in their order; each goes from one address to another."""

    def __init__(self):
        self.packets = []

    def add(self, source, target, transport, payload=b'', solicited=True):
        """transport: opcode, queue pair, sequence number, the headers that the opcode has behind these."""
        opcode, qp, psn, headers = transport
        pad = -len(payload) % 4
        base = struct.pack('>BBHII', opcode, solicited << 7 | pad << 4, 0xffff, qp, psn)
        crc = bytes(4)  # which Wireshark does not check
        udp = base + headers + payload + bytes(pad) + crc
        udp = struct.pack('>HHHH', 50000, 4791, 8 + len(udp), 0) + udp
        self.packets.append(ip_header(source, target, len(udp)) + udp)
        return len(self.packets)

    def write(self, path):
        with open(path, 'wb') as file:
            file.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 1 << 16, 1))
            for number, packet in enumerate(self.packets):
                file.write(struct.pack('<IIII', number, 0, len(packet), len(packet)) + packet)


class Connection:
    """A connection's packets, in the capture."""

    numbers = 0x100

    def __init__(self, capture, hello=None, answer=None, connect=True, hosts=HOSTS):
        self.capture = capture
        self.hosts = hosts
        self.number = Connection.numbers
        Connection.numbers += 0x100
        self.next = {1: self.number << 4, 2: 0xffffff}  # the second overflows at once
        self.lane_next = {1: 0xffffff, 2: 7}
        self.lane_qp = {end: self.number + 0x10 + end for end in HOSTS}
        if connect:
            self.request(hello or greeting())
            self.reply(answer or hello or greeting())

    def qp(self, end, lane=False):
        return self.lane_qp[end] if lane else self.number + end

    def _manager(self, end, attribute, data):
        mad = struct.pack('>BBBBHHQHHI', 1, 7, 2, 3, 0, 0, self.number, attribute, 0, 0) + data
        datagram = struct.pack('>II', 0x80010000, 1)
        return self.capture.add(self.hosts[end], self.hosts[3 - end], (UD_ONLY, 1, 0, datagram), mad.ljust(256, b'\0'))

    def request(self, private):
        service = 0x0000000001061b58  # RDMA_PS_TCP, port 7000
        data = struct.pack('>IIQQII', self.number + 1, 0, service, 0, 0, 0) + struct.pack('>I', self.qp(1) << 8)
        data = data.ljust(44, b'\0') + struct.pack('>I', self.next[2] << 8)  # what the other end is to begin with
        both = [ipaddress.ip_address(host) for host in self.hosts.values()]
        of_manager = struct.pack('>BBH', 0, both[0].version << 4, 50000) + b''.join(one.packed.rjust(16, b'\0') for one in both)
        return self._manager(1, REQUEST, data.ljust(140, b'\0') + of_manager + private)

    def reply(self, private):
        data = struct.pack('>IIIII', self.number + 2, self.number + 1, 0, self.qp(2) << 8, 0)
        data += struct.pack('>I', self.next[1] << 8)
        return self._manager(2, REPLY, data.ljust(36, b'\0') + private)

    def reject(self, private):
        data = struct.pack('>IIBBH', self.number + 2, self.number + 1, 0, 0, 28)
        return self._manager(2, REJECT, data.ljust(84, b'\0') + private)

    def disconnect(self, end):
        data = struct.pack('>III', self.number + end, self.number + 3 - end, self.qp(3 - end) << 8)
        return self._manager(end, DISCONNECT, data)

    def packet(self, end, opcode, headers=b'', payload=b'', lane=False, psn=None, solicited=True):
        """The next one, or with another sequence number one that changes nothing."""
        counter = self.lane_next if lane else self.next
        if psn is None:
            psn = counter[end]
            counter[end] = (psn + 1) % (1 << 24)
        transport = (opcode, self.qp(3 - end, lane), psn, headers)
        return self.capture.add(self.hosts[end], self.hosts[3 - end], transport, payload, solicited)

    def send(self, end, imm, payload=b'', lane=False):
        """A SEND in its packets; imm: None, or the four bytes."""
        with_imm = imm is not None
        parts = [payload[at:at + MTU] for at in range(0, len(payload), MTU)] or [b'']
        if len(parts) == 1:
            return self.packet(end, ONLY_IMM if with_imm else ONLY, imm or b'', payload, lane)
        self.packet(end, FIRST, b'', parts[0], lane)
        for part in parts[1:-1]:
            self.packet(end, MIDDLE, b'', part, lane)
        return self.packet(end, LAST_IMM if with_imm else LAST, imm or b'', parts[-1], lane)

    def frame(self, end, kind, payload=b'', **counts):
        return self.send(end, immediate(kind, **counts), payload)

    def lane(self, end):
        return self.frame(end, LANE, struct.pack('>II', self.qp(end, True), self.lane_next[end]))

    def keepalive(self, end):
        return self.packet(end, WRITE_ONLY, bytes(16), solicited=False)

    def acknowledge(self, end, psn, syndrome=0x1f):
        """What has come to `end`, up to a sequence number."""
        return self.packet(end, ACKNOWLEDGE, struct.pack('>I', syndrome << 24), psn=psn, solicited=False)


def datagram(capture, source, target, tag, payload=b'', qp=0x33, key=0x01234567):
    """tag: port that it comes from, sequence number."""
    headers = struct.pack('>III', key, 0x44, tag[0] << 16 | tag[1])
    return capture.add(source, target, (UD_ONLY_IMM, qp, 0, headers), payload)


def tshark(capture, *options):
    """What it says of a capture, with nothing of this machine's configuration. It may say no more than that on stderr."""
    environment = os.environ | {'HOME': '/nonexistent', 'XDG_CONFIG_HOME': '/nonexistent', 'WIRESHARK_PLUGIN_DIR': '/nonexistent'}
    # The ports may be those of something else.
    command = ['tshark', '-n', '-o', 'tcp.try_heuristic_first:TRUE', '-X', f'lua_script:{DISSECTOR}', '-r', str(capture), *options]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    said = [line for line in result.stderr.splitlines() if not line.startswith('Running as user "root"')]
    if result.returncode != 0 or said:
        raise RuntimeError(f'{" ".join(command)}: status {result.returncode}, ' + '\n'.join(said))
    return result.stdout


def fields(capture, *names, show=None, twice=False):
    """Of each packet (that the filter `show` takes) a list with the values of each field; in a second pass, too, if `twice`."""
    options = ['-T', 'fields', '-E', 'separator=/t', '-E', 'aggregator=|']
    for name in names:
        options += ['-e', name]
    if show:
        options += ['-Y', show]
    if twice:
        options.append('-2')
    return [[value.split('|') if value else [] for value in line.split('\t')] for line in tshark(capture, *options).splitlines()]


def lua_errors(capture, *options):
    """Without another dissector, which fails an assertion of Wireshark's at packets with errors."""
    return tshark(capture, '-2', '-Y', '_ws.lua.error', '--disable-protocol', 'rpcordma', *options)


def garbled(capture, headers):
    """What is done to it, with Lua's errors then: errors in bytes behind so many of each packet, where it still comes to the
    dissector, and packets cut."""
    garbage = pathlib.Path(f'{capture}.garbage')
    for seed in range(1, 5):
        rate = ('0.002', '0.02')[seed % 2]
        command = ['editcap', '-E', rate, '--seed', str(seed), '-o', str(headers), capture, garbage]
        subprocess.run(command, check=True, capture_output=True)
        yield f'errors, seed {seed}', lua_errors(garbage)
    for more in (2, 8, 12, 16, 21, 28, 58, 238):
        subprocess.run(['editcap', '-s', str(headers + more), capture, garbage], check=True)
        yield f'cut to {headers + more} bytes', lua_errors(garbage)
