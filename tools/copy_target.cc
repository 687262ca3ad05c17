// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "copy_target.h"

#include "base/text.h"
#include "ops/overwrite.h"

#include <cerrno>
#include <fcntl.h>
#include <utility>

namespace dmsnap::tool {

CopyTarget::CopyTarget(const Arguments& arguments, std::string spec, const BlockDevice& origin)
    : spec_(std::move(spec)), origin_(origin), facts_(look())
{
    const auto refusal = copy_refusal(facts_, origin.size, false);
    if (refusal && !confirm(arguments, printable(spec_), operation, *refusal))
        throw Error(printable(spec_), operation, "the answer was no", "another device");
}

void CopyTarget::claim()
{
    file_.emplace(outwait([&] {
        try {
            return File::open(node_path(facts_.device), O_RDWR | O_EXCL | O_DIRECT);
        } catch (const Error& error) {
            throw Error(error).as(error.number() == EBUSY ? Fault::in_use : Fault::failed);
        }
    }));
    // What was seen, and may have been asked about, is still what is there.
    OverwriteFacts now = read_overwrite_facts(facts_.device, origin_);
    now.users.processes.clear(); // ourselves
    if (!same_device(resolve(spec_), facts_.device) ||
        copy_refusal(now, origin_.size, false) != copy_refusal(facts_, origin_.size, false))
        throw Error(printable(spec_), operation, "it has changed since it was looked at", "again");
}

OverwriteFacts CopyTarget::look() const
{
    const BlockDevice device = resolve(spec_);
    return outwait([&] {
        OverwriteFacts facts = read_overwrite_facts(device, origin_);
        if (const auto reason = copy_refusal(facts, origin_.size, true))
            throw Error(printable(spec_), operation, *reason, "another device")
                .as(may_pass(facts) ? Fault::in_use : Fault::failed);
        return facts;
    });
}

} // namespace dmsnap::tool
