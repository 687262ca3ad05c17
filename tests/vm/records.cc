// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "records.h"

#include "disk.h"
#include "wait.h"
#include "world/crc32c.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <system_error>
#include <unistd.h>

namespace dmsnap::test {
namespace {

constexpr Bytes ring_bytes{RecordWriter::slots * RecordWriter::record_bytes};

/// A record is its number (from 1; 0 is a slot never written), bytes that follow from it, and a checksum of both.
struct Header {
    std::uint64_t number;
    std::uint32_t checksum;
};

void write_record(std::span<std::byte> record, std::uint64_t number)
{
    std::fill(record.begin(), record.end(), static_cast<std::byte>(number * 0x9d));
    Header header = {number, 0};
    std::memcpy(record.data(), &header, sizeof(header));
    header.checksum = crc32c(record);
    std::memcpy(record.data(), &header, sizeof(header));
}

/// The record's number, 0 for a slot never written; nothing if it is torn.
std::optional<std::uint64_t> read_record(std::span<std::byte> record)
{
    Header header = {};
    std::memcpy(&header, record.data(), sizeof(header));
    if (header.number == 0 && std::all_of(record.begin(), record.end(), [](std::byte b) { return b == std::byte{0}; }))
        return 0;
    const std::uint32_t wanted = std::exchange(header.checksum, 0);
    std::memcpy(record.data(), &header, sizeof(header));
    if (crc32c(record) != wanted)
        return std::nullopt;
    return header.number;
}

/// The number of the last record in a slot when there are `records` in all: record n is in slot (n - 1) % slots.
std::uint64_t last_in_slot(std::uint64_t slot, std::uint64_t records)
{
    const std::uint64_t laps = records / RecordWriter::slots;
    const std::uint64_t rest = records % RecordWriter::slots;
    const std::uint64_t in_slot = laps + (slot < rest ? 1 : 0);
    return in_slot == 0 ? 0 : (in_slot - 1) * RecordWriter::slots + slot + 1;
}

/// Makes all slots be there and empty; on a device it empties them.
void prepare(int fd)
{
    Buffer buffer(ring_bytes);
    std::fill(buffer.span().begin(), buffer.span().end(), std::byte{0});
    if (pwrite(fd, buffer.span().data(), ring_bytes.count, 0) != static_cast<ssize_t>(ring_bytes.count) ||
        fsync(fd) != 0)
        throw std::system_error(errno, std::generic_category(), "ring of records");
}

} // namespace

RecordWriter::RecordWriter(const std::vector<std::string>& paths)
{
    try {
        for (const std::string& path : paths) {
            fds_.push_back(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_DIRECT, 0600));
            if (fds_.back() < 0)
                throw std::system_error(errno, std::generic_category(), path);
            prepare(fds_.back());
        }
    } catch (...) {
        close_all();
        throw;
    }
    thread_ = std::thread([this] { work(); });
}

RecordWriter::~RecordWriter()
{
    stop_ = true;
    if (thread_.joinable())
        thread_.join();
    close_all();
}

void RecordWriter::close_all()
{
    for (int fd : std::exchange(fds_, {}))
        if (fd >= 0)
            close(fd);
}

void RecordWriter::work()
{
    Buffer record(Bytes{record_bytes});
    while (!stop_) {
        const std::uint64_t number = begun_ + 1;
        const auto slot = static_cast<off_t>((number - 1) % slots * record_bytes);
        write_record(record.span(), number);
        begun_ = number;
        for (int fd : fds_) {
            const bool written =
                pwrite(fd, record.span().data(), record_bytes, slot) == static_cast<ssize_t>(record_bytes);
            if (!written || fsync(fd) != 0) {
                error_ = errno;
                return;
            }
        }
        durable_ = number;
    }
}

void RecordWriter::write_on(std::uint64_t records) const
{
    const std::uint64_t target = durable_ + records;
    wait_until(fmt::format("record {}", target), 120, [&] { return durable_ >= target || error_ != 0; });
    if (error_ != 0)
        throw std::system_error(error_, std::generic_category(), "writing records");
}

void RecordWriter::stop()
{
    stop_ = true;
    thread_.join();
    close_all();
    if (error_ != 0)
        throw std::system_error(error_, std::generic_category(), "writing records");
}

Ring read_ring(const std::string& path)
{
    Buffer buffer(ring_bytes);
    const File file = File::open(path, O_RDONLY | O_DIRECT);
    if (file.read_at({0}, buffer.span()) != ring_bytes.count)
        return {0, "the ring is cut short", {}};
    Ring ring;
    std::vector<std::optional<std::uint64_t>> numbers;
    for (std::uint64_t slot = 0; slot < RecordWriter::slots; ++slot) {
        const auto record = buffer.span().subspan(slot * RecordWriter::record_bytes, RecordWriter::record_bytes);
        ring.checksums.push_back(crc32c(record));
        numbers.push_back(read_record(record));
        ring.records = std::max(ring.records, numbers.back().value_or(0));
    }
    for (std::uint64_t slot = 0; slot < RecordWriter::slots; ++slot)
        if (numbers[slot] != last_in_slot(slot, ring.records))
            ring.fault += fmt::format("slot {} holds {} instead of {}; ", slot,
                numbers[slot] ? std::to_string(*numbers[slot]) : "a torn record", last_in_slot(slot, ring.records));
    return ring;
}

} // namespace dmsnap::test
