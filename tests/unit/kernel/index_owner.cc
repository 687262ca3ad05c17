// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "index_owner.h"

#include "catch.h"

#include <new>

namespace dmsnap::test::kernel {
namespace {

/// The module's cache of exceptions, as long as the program runs.
void need_module()
{
    static const int error = interpose_index_module_init();
    if (error != 0)
        throw std::bad_alloc();
}

} // namespace

Index::Index(Buckets buckets)
{
    need_module();
    if (interpose_index_init(&index_, 1) != 0)
        throw std::bad_alloc();
    if (buckets == Buckets::one)
        index_.buckets = 1;
}

Index::~Index()
{
    sweep({});
    interpose_index_exit(&index_);
}

void Index::insert_run(u64 chunk, unsigned chunks, u64 birth, u64 slot, unsigned step)
{
    exception* list = nullptr;
    REQUIRE(interpose_index_alloc(&index_, &list, chunks) == chunks);
    const interpose_index_run run = {list, chunk_at(chunk), chunks, birth, slot, step};
    interpose_index_insert(&index_, &run);
}

std::optional<u64> Index::find(u64 chunk, u64 id)
{
    u64 slot = 0;
    return interpose_index_find(&index_, chunk_at(chunk), id, &slot) ? std::optional(slot) : std::nullopt;
}

std::size_t Index::sweep(const std::vector<u64>& living)
{
    std::size_t swept = 0;
    for (unsigned long i = 0; i < index_.buckets; ++i) {
        exception* dead = interpose_index_sweep(&index_, i, living.data(), static_cast<unsigned>(living.size()));
        for (const exception* entry = dead; entry != nullptr; entry = entry->next)
            ++swept;
        interpose_index_free(dead);
    }
    return swept;
}

bool Index::refill()
{
    if (!index_.refill.pending)
        return false;
    index_.refill.pending = false;
    index_.refill.func(&index_.refill);
    return true;
}

std::vector<const exception*> Index::entries() const
{
    std::vector<const exception*> all;
    for (unsigned long i = 0; i < index_.buckets; ++i)
        for (const exception* entry = index_.bucket[i]; entry != nullptr; entry = entry->next)
            all.push_back(entry);
    return all;
}

} // namespace dmsnap::test::kernel
