// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Random numbers that can be had again.
#pragma once

#include <cstdint>

namespace dmsnap::test::kernel {

/// A sequence that is the same for the same seed on every machine.  The seed is drawn once for the program, and
/// printed; DMSNAP_TEST_SEED brings it back.
class Random {
public:
    /// `round`: another sequence of the same seed.
    explicit Random(std::uint64_t round = 0);

    std::uint64_t next();
    /// A number below `bound`.
    std::uint64_t below(std::uint64_t bound) { return next() % bound; }
    /// A number from `low` to `high`, both included.
    std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }
    bool once_in(std::uint64_t n) { return below(n) == 0; }

private:
    std::uint64_t state_;
};

} // namespace dmsnap::test::kernel
