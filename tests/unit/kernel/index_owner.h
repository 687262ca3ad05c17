// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// An index of the module with an owner.
#pragma once

#include "module.h"

#include <cstddef>
#include <optional>
#include <vector>

namespace dmsnap::test::kernel {

/// Throws std::bad_alloc when the module has no memory.
class Index {
public:
    enum class Buckets {
        one,  ///< in which all chunks meet
        many, ///< as the module chooses for so few
    };

    explicit Index(Buckets buckets = Buckets::one);
    ~Index();
    Index(const Index&) = delete;
    Index& operator=(const Index&) = delete;

    interpose_index* get() { return &index_; }

    /// A run of chunks, `step` slots apart.
    void insert_run(u64 chunk, unsigned chunks, u64 birth, u64 slot, unsigned step);
    void insert(u64 chunk, u64 birth, u64 slot) { insert_run(chunk, 1, birth, slot, 1); }
    /// The slot that snapshot `id` reads; nothing: the base.
    std::optional<u64> find(u64 chunk, u64 id);
    /// Sweeps every bucket; returns how many exceptions went. `living`: ascending.
    std::size_t sweep(const std::vector<u64>& living);
    /// What the work that fills up the stock does, if it is queued; whether it was.
    bool refill();

    /// The only bucket's.
    exception* head() const { return index_.bucket[0]; }
    /// All, in the order of the chains.
    std::vector<const exception*> entries() const;

private:
    interpose_index index_ = {}; // the module has its own in zeroed memory, too
};

} // namespace dmsnap::test::kernel
