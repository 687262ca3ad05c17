// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// What the harness tells a test: where it may write, how much it shall do.
#pragma once

#include <cstdint>
#include <string>

namespace dmsnap::test {

// Blank disks, the test's own.
std::string origin_disk();
std::string store_disk();
std::string spare_disk();
/// One with 4096-byte sectors.
std::string disk_4k();
std::string nvme_disk();

/// What the test's name says after "@": the kind of device to work on.
std::string kind();

/// The number of a row of tests/vm/rounds.
std::uint64_t rounds(const std::string& name);

/// A sequence that is the same for the same seed, which is printed; DMSNAP_TEST_SEED brings one back.
class Random {
public:
    /// Draws the seed.
    Random();

    std::uint64_t seed() const { return seed_; }
    std::uint64_t next();
    /// A number below `bound`.
    std::uint64_t below(std::uint64_t bound) { return next() % bound; }
    /// A number from `low` to `high`, both included.
    std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }

private:
    std::uint64_t seed_;
    std::uint64_t state_;
};

} // namespace dmsnap::test
