// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace dmsnap::test {

/// A program that cares for its data: numbered records of one block, each on stable storage before the next is
/// begun, in the slots of a ring, so that old ones are overwritten for ever.
class RecordWriter {
public:
    static constexpr std::uint64_t slots = 256;
    static constexpr std::size_t record_bytes = 4096;

    /// `path` is a device, or a file that is made with all its slots. Writes until stop().
    explicit RecordWriter(const std::string& path) : RecordWriter(std::vector{path}) {}
    /// Each record goes to all of them, in turn: it is on stable storage in one before it is written to the next.
    explicit RecordWriter(const std::vector<std::string>& paths);
    ~RecordWriter();
    RecordWriter(const RecordWriter&) = delete;
    RecordWriter& operator=(const RecordWriter&) = delete;

    /// Records on stable storage, and records whose writing has begun: a point between two looks at these numbers
    /// holds at least the first one's and at most the second one's.
    std::uint64_t durable() const { return durable_; }
    std::uint64_t begun() const { return begun_; }
    /// Waits until so many more are durable; throws if writing failed or stands still.
    void write_on(std::uint64_t records) const;
    /// Throws what made a write fail.
    void stop();

private:
    void work();
    void close_all();

    std::vector<int> fds_;
    std::thread thread_;
    std::atomic<std::uint64_t> durable_ = 0;
    std::atomic<std::uint64_t> begun_ = 0;
    std::atomic<bool> stop_ = false;
    std::atomic<int> error_ = 0;
};

/// What a ring holds. The sequence of records ends somewhere; every slot holds the last one that belongs there.
struct Ring {
    std::uint64_t records = 0; ///< the length of the sequence
    std::string fault;         ///< empty, or the slots that hold something else: torn, too old, too new
    std::vector<std::uint64_t> checksums;
    bool operator==(const Ring&) const = default;
};

/// Reads a ring past the page cache.
Ring read_ring(const std::string& path);

} // namespace dmsnap::test
