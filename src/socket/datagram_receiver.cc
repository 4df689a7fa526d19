// SPDX-License-Identifier: BSD-2-Clause
#include "socket/datagram_receiver.h"

#include <algorithm>
#include <bit>

#include "base/static_probe.h"
#include "provider/provider.h"
#include "socket/datagram_groups.h"

namespace sio::internal {
namespace {

constexpr uint32_t kGrhBytes = provider::QueuePair::kGrhBytes;
constexpr uint32_t kGrhAt = DatagramReceiver::kPayload - kGrhBytes;
static_assert(kGrhBytes == wire::kGrhBytes);
static_assert(DatagramReceiver::kSlotBytes % 64 == 0);

}  // namespace

DatagramReceiver::DatagramReceiver(Link& link, const DatagramGroups& groups, uint32_t sources)
    : link_(link), groups_(groups), sources_(sources) {}

DatagramReceiver::~DatagramReceiver() {
  if (region_ != nullptr) region_->detach();
}

void DatagramReceiver::prepare(Region* region, void (*on_returned)(void*), void* arg) {
  slots_ = region->slots();
  filled_.resize(std::bit_ceil(slots_));
  dropped_.reserve(slots_);
  batch_ = std::max(1u, slots_ / 8);
  region_ = region;
  region_->set_on_returned(on_returned, arg, batch_);
}

int DatagramReceiver::post_all() noexcept {
  uint32_t batch[kPostBatch];
  for (uint32_t first = 0; first < slots_;) {
    uint32_t n = 0;
    while (n < kPostBatch && first < slots_) batch[n++] = first++;
    if (const int error = post(batch, n)) return error;
  }
  return 0;
}

int DatagramReceiver::post(const uint32_t* slots, uint32_t n) noexcept {
  ibv_recv_wr wrs[kPostBatch];
  ibv_sge sges[kPostBatch];
  const uint32_t lkey = region_->area().lkey(link_.device->index());
  for (uint32_t i = 0; i < n; ++i) {
    sges[i] = {reinterpret_cast<uintptr_t>(region_->slot(slots[i]) + kGrhAt), kGrhBytes + kLargest,
               lkey};
    wrs[i] = {link_.work_id(wire::Work::kReceive, slots[i]), i + 1 < n ? &wrs[i + 1] : nullptr,
              &sges[i], 1};
  }
  ibv_recv_wr* bad = nullptr;
  const int error = link_.queue_pair->post_recv(wrs, &bad);
  // Those before the one that was not taken will be flushed.
  const auto taken = error == 0 ? n : static_cast<uint32_t>(bad - wrs);
  posted_ += taken;
  link_.info.receives_posted += taken;
  return error;
}

// ------------------------------------------------------------------------------------- receiving

// A ladder: what comes down from it is good.
DatagramReceiver::Verdict DatagramReceiver::judge(const char* slot, const ibv_wc& wc,
                                                  Filled& filled, Stream& stream) const noexcept {
  constexpr unsigned kNeeded = IBV_WC_GRH | IBV_WC_WITH_IMM;
  if (wc.opcode != IBV_WC_RECV || (wc.wc_flags & kNeeded) != kNeeded) return Verdict::kOdd;
  if (wc.byte_len < kGrhBytes || wc.byte_len > kGrhBytes + kLargest) return Verdict::kOdd;
  InetAddress to;
  if (!wire::decode_grh(slot + kGrhAt, filled.from, to)) return Verdict::kOdd;
  const uint16_t port = wire::decode_tag(wc.imm_data).port;
  if (filled.from.family() != name_.family() || port == 0) return Verdict::kOdd;
  if (filled.from.is_group() || filled.from.is_wildcard()) return Verdict::kOdd;
  filled.from = filled.from.with_port(port);
  if (filled.from.is_link_local()) filled.from = filled.from.with_scope(name_.scope());
  filled.length = wc.byte_len - kGrhBytes;
  stream = {filled.from, {}};
  if (to.is_group()) {
    if (filled.length < wire::kGroupTrailer) return Verdict::kOdd;
    filled.length -= wire::kGroupTrailer;
    if (wire::decode_trailer(slot + kPayload + filled.length) != name_.port())
      return Verdict::kUnwanted;
    if (!groups_.has(to) || is_our_own(wc, filled.from)) return Verdict::kUnwanted;
    stream.group = to;
  }
  return only_.is_set() && !(only_ == filled.from) ? Verdict::kUnwanted : Verdict::kTaken;
}

// Some networks bring back to a member what it sends to its group, and some do not.
bool DatagramReceiver::is_our_own(const ibv_wc& wc, const InetAddress& from) const noexcept {
  const bool here = source_.is_wildcard() || from == source_;
  return here && from.port() == source_.port() && wc.src_qp == link_.queue_pair->number();
}

InetAddress DatagramReceiver::received(uint32_t slot, const ibv_wc& wc) noexcept {
  --posted_;
  char* const at = region_->slot(slot);
  Filled filled{slot, 0, {}};
  Stream stream;
  const Verdict verdict = judge(at, wc, filled, stream);
  if (verdict != Verdict::kTaken) {
    ++(verdict == Verdict::kOdd ? link_.info.datagrams_odd : link_.info.datagrams_unwanted);
    dropped_.push_back(slot);
    return {};
  }
  InetAddress changed;
  if (DatagramSource* source = note_source(stream)) {
    count_missing(*source, wire::decode_tag(wc.imm_data).sequence);
    if (source->queue_pair != 0 && source->queue_pair != wc.src_qp) changed = filled.from;
    source->queue_pair = wc.src_qp;
    source->heard = Clock::now();
    source->wc = wc;
    std::memcpy(source->grh.data(), at + kGrhAt, kGrhBytes);
    if (stream.group.is_set()) changed = {};  // groups have streams, but not peers, of their own
  }
  filled.from.write_to(at);
  region_->arrived(slot, true);
  filled_[tail_++ & (filled_.size() - 1)] = filled;
  return changed;
}

DatagramSource* DatagramReceiver::note_source(const Stream& stream) noexcept {
  if (DatagramSource* known = sources_.find(stream)) return known;
  return sources_.make(stream, [](const DatagramSource&) { return true; });
}

// What was skipped is missing until it comes late; of that nothing is taken back, since it may be
// a duplicate as well.
void DatagramReceiver::count_missing(DatagramSource& source, uint16_t sequence) noexcept {
  const bool begins = sequence == wire::kFirstSequence || source.expected == wire::kFirstSequence;
  if (!begins) {
    const uint32_t gap = wire::sequence_gap(source.expected, sequence);
    if (gap >= wire::kLate) {
      ++link_.info.datagrams_late;
      return;
    }
    link_.info.datagrams_lost += gap;
  }
  source.expected = wire::next_sequence(sequence);
}

const DatagramSource* DatagramReceiver::source(const InetAddress& address) noexcept {
  return sources_.peek({address, {}});
}

// ----------------------------------------------------------------------------------- handing out

bool DatagramReceiver::peek(IncomingDatagram& datagram) const noexcept {
  if (head_ == tail_) return false;
  const Filled& filled = filled_[head_ & (filled_.size() - 1)];
  datagram = {payload(filled.slot), filled.length, filled.slot, filled.from,
              reinterpret_cast<const sockaddr*>(region_->slot(filled.slot))};
  return true;
}

void DatagramReceiver::take(const IncomingDatagram& datagram) noexcept {
  region_->hand_out(datagram.slot, kPayload, datagram.length);
  region_->finish(datagram.slot);
  ++head_;
  STATIC_PROBE(receive, link_.fd, datagram.length, link_.info.messages_received);
  ++link_.info.messages_received;
  link_.info.bytes_received += datagram.length;
}

void DatagramReceiver::drop_all() noexcept {
  while (head_ != tail_) region_->finish(filled_[head_++ & (filled_.size() - 1)].slot);
}

int DatagramReceiver::post_returned() noexcept {
  while (!dropped_.empty()) {
    const uint32_t n = std::min(static_cast<uint32_t>(dropped_.size()), kPostBatch);
    if (const int error = post(dropped_.data(), n)) return error;
    dropped_.erase(dropped_.begin(), dropped_.begin() + n);
  }
  if (region_->returned() < batch_) return 0;
  uint32_t slots[kPostBatch];
  while (const int n = region_->collect(slots, kPostBatch)) {
    if (const int error = post(slots, static_cast<uint32_t>(n))) return error;
  }
  return 0;
}

}  // namespace sio::internal
