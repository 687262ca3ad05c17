// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/overwrite_facts.h"

#include "base/error.h"
#include "world/file.h"
#include "world/stack.h"

#include <cerrno>
#include <fcntl.h>

namespace dmsnap {
namespace {

StackRelation relation(const BlockDevice& device, const BlockDevice& origin, const Roots& roots)
{
    if (device.number == origin.number)
        return StackRelation::same;
    if (lies_on(device, origin, roots))
        return StackRelation::above;
    if (lies_on(origin, device, roots))
        return StackRelation::below;
    return StackRelation::unrelated;
}

void require_readable(const BlockDevice& device, const Roots& roots)
{
    if (device.suspended)
        throw Error(device.name(), "read", "it is suspended, and reading it would wait for ever",
            "dmsetup resume " + device.name());
    for (const BlockDevice& below : all_below(device, roots))
        if (below.suspended)
            throw Error(device.name(), "read",
                below.name() + ", which it lies on, is suspended, and reading it would wait for ever",
                "dmsetup resume " + below.name());
}

} // namespace

bool is_claimed(const BlockDevice& device, const Roots& roots)
{
    try {
        File::open(node_path(device, roots), O_RDONLY | O_EXCL);
        return false;
    } catch (const Error& error) {
        if (error.number() != EBUSY)
            throw;
        return true;
    }
}

OverwriteFacts read_overwrite_facts(const BlockDevice& device, const BlockDevice& origin, const Roots& roots)
{
    require_readable(device, roots);
    const std::filesystem::path node = node_path(device, roots);
    OverwriteFacts facts;
    facts.device = device;
    facts.origin_block = origin.logical_block;
    facts.to_origin = relation(device, origin, roots);
    facts.below = numbers_below(device, roots);
    facts.below.insert(device.number);
    facts.users = find_users(device, roots);
    facts.signature = find_signature(node);
    facts.header = read_store_header(node);
    return facts;
}

} // namespace dmsnap
