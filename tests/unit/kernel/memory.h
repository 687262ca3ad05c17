// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// The memory of the module under test, which can run out when a test wants it to.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dmsnap::test::kernel {

/// What the module has not given back.
std::size_t pages_in_use();
std::size_t blocks_in_use();
std::size_t objects_in_use(); ///< of slab caches

/// What the last request for a page said the kernel may do to get one.
unsigned last_page_gfp();

/// As long as one lives, every `n`-th allocation fails; of all threads together.
class ScarceMemory {
public:
    explicit ScarceMemory(unsigned n);
    ~ScarceMemory();
    ScarceMemory(const ScarceMemory&) = delete;
    ScarceMemory& operator=(const ScarceMemory&) = delete;
};

/// As long as one lives, every allocation fails.
class NoMemory : ScarceMemory {
public:
    NoMemory() : ScarceMemory(1) {}
};

} // namespace dmsnap::test::kernel
