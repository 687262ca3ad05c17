// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// One bucket of a store's index, with the chain the module's functions walk.
#pragma once

#include "module.h"

#include <cstddef>
#include <vector>

namespace dmsnap::test::kernel {

class Bucket {
public:
    Bucket() = default;
    ~Bucket();
    Bucket(const Bucket&) = delete;
    Bucket& operator=(const Bucket&) = delete;

    /// At the head, as the store does it: births of one chunk rise.
    void insert(u64 chunk, u64 birth, u64 slot);
    /// Takes out what births_needed() does not want, while it walks, as the store does it; returns how many.
    /// `living`: ascending.
    std::size_t sweep(const std::vector<u64>& living);

    exception* head() const { return head_; }
    /// All in the order of the chain.
    std::vector<const exception*> entries() const;

private:
    exception* head_ = nullptr;
};

} // namespace dmsnap::test::kernel
