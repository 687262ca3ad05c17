// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/overwrite.h"

#include "dm-interpose.h"

#include <fmt/format.h>

namespace dmsnap {
namespace {

/// What a use or a property of the device says against it.
std::optional<std::string> unfit(const OverwriteFacts& facts, Sectors smallest)
{
    const BlockDevice& device = facts.device;
    switch (facts.to_origin) {
    case StackRelation::same: return "it is the device itself";
    case StackRelation::above: return "it lies on the device";
    case StackRelation::below: return "the device lies on it";
    case StackRelation::unrelated: break;
    }
    if (!facts.users.none())
        return "it is " + to_text(facts.users);
    if (facts.claimed)
        return "somebody holds it exclusively";
    if (device.suspended)
        return "it is suspended";
    if (device.read_only)
        return "it is read-only";
    if (device.zoned)
        return "it is a zoned device";
    if (device.size < smallest)
        return fmt::format("it is smaller than {}", exact_size(smallest));
    if (device.logical_block > facts.origin_block)
        return fmt::format("its blocks of {} bytes are larger than the device's of {}", device.logical_block.count,
            facts.origin_block.count);
    if (facts.signature && facts.signature->physical_volume)
        return "it is an LVM physical volume";
    return std::nullopt;
}

/// What it carries that may be precious to somebody who does not know that it is a store.
std::optional<std::string> precious(const OverwriteFacts& facts)
{
    if (facts.signature)
        return "it carries something: " + facts.signature->description;
    if (!facts.header.complaint.empty())
        return "it carries something: " + facts.header.complaint;
    return std::nullopt;
}

} // namespace

std::optional<std::string> store_refusal(const OverwriteFacts& facts, bool overwrite)
{
    if (auto reason = unfit(facts, Sectors{INTERPOSE_STORE_SECTORS_MIN}))
        return reason;
    return overwrite ? std::nullopt : precious(facts);
}

bool only_signature_refuses(const OverwriteFacts& facts)
{
    return store_refusal(facts, false) && !store_refusal(facts, true);
}

std::optional<std::string> copy_refusal(const OverwriteFacts& facts, Sectors length, bool overwrite)
{
    if (auto reason = unfit(facts, length))
        return reason;
    if (overwrite)
        return std::nullopt;
    if (facts.header.header)
        return "it carries something: a dmsnap store";
    return precious(facts);
}

bool may_pass(const OverwriteFacts& facts)
{
    return facts.to_origin == StackRelation::unrelated &&
           (facts.users.passing() || (facts.users.none() && facts.claimed));
}

} // namespace dmsnap
