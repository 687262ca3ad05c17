// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// A model of what `dmsnap changed` must say, as naive as can be, and what it did say.
#pragma once

#include "disk.h"
#include "origin.h"

#include <string>
#include <string_view>
#include <vector>

namespace dmsnap::test {

/// Chunks of a device.
class ChunkSet {
public:
    ChunkSet(Bytes device, Bytes chunk)
        : device_(device), chunk_(chunk), chunks_((device.count + chunk.count - 1) / chunk.count)
    {
    }
    void add(std::uint64_t chunk) { chunks_.at(chunk) = true; }
    /// All that these bytes touch.
    void add(Bytes position, Bytes length);
    void add(const ChunkSet& other);
    std::size_t count() const;
    /// "chunks 3, 4 and 5 more" of those here that `other` has not; empty if there are none.
    std::string not_in(const ChunkSet& other) const;

private:
    Bytes device_;
    Bytes chunk_;
    std::vector<bool> chunks_;
};

/// Bytes that were written, discarded or zeroed.
struct Range {
    Bytes position;
    Bytes length;
};

/// Writes, discards or zeroes somewhere: 512 bytes to 4 MiB, aligned to nothing but the device's sectors.
Range write_at_random(const Disk& disk, Random& random, bool discards = true);

/// The points of an origin and what was written after each.
class Changes {
public:
    Changes(Bytes device, Bytes chunk) : device_(device), chunk_(chunk) {}

    void note(const Range& range);
    void take(const std::string& name);
    void remove(const std::string& name);
    /// Their names, oldest first.
    std::vector<std::string> points() const;
    /// What `output` of `dmsnap changed` leaves out or adds; empty if it is right. `until` empty: now.
    std::string difference(const std::string& since, const std::string& until, std::string_view output) const;

private:
    struct Epoch {
        std::string point; ///< it begins with; empty once that is removed
        ChunkSet chunks;
    };
    std::size_t index_of(const std::string& name) const;

    Bytes device_;
    Bytes chunk_;
    std::vector<Epoch> epochs_;
};

/// What `dmsnap changed` prints. `until` empty: now.
std::string changed(const Origin& origin, const std::string& since, const std::string& until);
/// Throws unless the lines are whole chunks, ascending, and adjacent ones merged.
ChunkSet parse_changed(std::string_view output, Bytes device, Bytes chunk);

} // namespace dmsnap::test
