// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "bucket.h"

namespace dmsnap::test::kernel {

Bucket::~Bucket() { sweep({}); }

void Bucket::insert(u64 chunk, u64 birth, u64 slot) { head_ = new exception{head_, chunk, birth, slot}; }

std::size_t Bucket::sweep(const std::vector<u64>& living)
{
    std::size_t swept = 0;
    exception** at = &head_;
    while (*at != nullptr) {
        exception* const entry = *at;
        if (births_needed(entry, living.data(), static_cast<unsigned>(living.size()))) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        delete entry;
        ++swept;
    }
    return swept;
}

std::vector<const exception*> Bucket::entries() const
{
    std::vector<const exception*> all;
    for (const exception* entry = head_; entry != nullptr; entry = entry->next)
        all.push_back(entry);
    return all;
}

} // namespace dmsnap::test::kernel
