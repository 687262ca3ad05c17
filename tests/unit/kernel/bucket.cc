// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "bucket.h"

#include <utility>

namespace dmsnap::test::kernel {

Bucket::~Bucket() { sweep({}); }

void Bucket::insert(u64 chunk, u64 birth, u64 slot) { head_ = new exception{head_, chunk, birth, slot}; }

std::size_t Bucket::sweep(const std::vector<u64>& living)
{
    std::size_t swept = 0;
    exception** at = &head_;
    while (*at != nullptr) {
        exception* const entry = *at;
        if (births_needed(head_, entry, living.data(), static_cast<unsigned>(living.size()))) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        delete entry;
        ++swept;
    }
    return swept;
}

void Bucket::shuffle(Random& random)
{
    std::vector<exception*> all;
    for (exception* entry = head_; entry != nullptr; entry = entry->next)
        all.push_back(entry);
    for (std::size_t i = all.size(); i > 1; --i)
        std::swap(all[i - 1], all[random.below(i)]);
    head_ = nullptr;
    for (exception* entry : all) {
        entry->next = head_;
        head_ = entry;
    }
}

std::vector<const exception*> Bucket::entries() const
{
    std::vector<const exception*> all;
    for (const exception* entry = head_; entry != nullptr; entry = entry->next)
        all.push_back(entry);
    return all;
}

} // namespace dmsnap::test::kernel
