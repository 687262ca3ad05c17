// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "log.h"
#include "ops/attach.h"
#include "ops/endpoint.h"
#include "ops/mirror.h"
#include "session.h"
#include "world/file.h"
#include "world/users.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <limits>
#include <optional>

namespace dmsnap::tool {
namespace {

constexpr Option options[] = {
    {"force,f", nullptr, "remove its snapshots too, unless one is in use"},
};

/// Not attached is as good as detached, unless what a dead command left could not be mended.
void say_not_attached(Dm& dm, const BlockDevice& block, const std::string& name)
{
    const auto info = block.is_dm() ? dm.info(DmName(block.dm_name)) : std::nullopt;
    if (info && (info->suspended || info->inactive_table))
        throw Error(name, "detach",
            fmt::format("it is not attached, and {}", info->suspended ? "suspended" : "another table is loaded for it"),
            "dmsnap check");
    log_warning(fmt::format("{}: it is not attached", name));
}

/// A device that runs on another one, which nobody may begin to use while it is put back.
class Unused {
public:
    explicit Unused(const BlockDevice& block) : in_use_(!find_users(block).none())
    {
        if (in_use_)
            return;
        try {
            claim_.emplace(File::open(node_path(block), O_RDWR | O_EXCL));
        } catch (const Error& error) {
            const std::array gone = {ENXIO, ENODEV, ENOENT, EIO, ENOMEDIUM}; // nobody else opens it either
            if (std::find(gone.begin(), gone.end(), error.number()) == gone.end())
                in_use_ = true;
            return;
        }
        claim_->sync(); // what was written to it, while that is still the other one
        claim_->forget_read();
    }

    bool in_use() const { return in_use_; }
    /// Once it is itself again.
    void forget_read() const
    {
        if (claim_)
            claim_->forget_read();
    }

private:
    std::optional<File> claim_;
    bool in_use_;
};

int run_detach(const Arguments& arguments)
{
    arguments.require_objects(1, std::numeric_limits<std::size_t>::max());
    Change change(arguments, {.any_interface = true});
    return for_each_object(arguments, [&](const std::string& spec) {
        const BlockDevice block = change.hold(spec);
        const std::string name = printable(block.name());
        std::size_t ended = 0;
        std::optional<Unused> unused;
        const Plan plan = change.plan([&](const Machine& machine) -> Plan {
            const OriginState* origin = find_attached(machine, block);
            ended = 0;
            if (const EndpointState* endpoint = machine.find_endpoint(block.number)) {
                if (serves_in_place(*endpoint))
                    unused.emplace(block);
                return unused ? plan_direct(*endpoint, unused->in_use()) : plan_end(*endpoint);
            }
            if (origin == nullptr)
                return {};
            ended = checkpoints_of(*origin);
            return plan_detach(machine, *origin, arguments.has("force"));
        });
        if (plan.empty())
            say_not_attached(change.dm(), block, name);
        change.carry_out(plan);
        if (unused)
            unused->forget_read();
        if (ended > 0 && !change.dry_run())
            log_warning(
                fmt::format("{}: {} checkpoints ended with it: the next backup must be a full one", name, ended));
    });
}

} // namespace

const Command detach_command = {
    .name = "detach",
    .synopsis = "[-f|--force] [OPTIONS] DEVICE...",
    .summary = "put a device back as it was before attach",
    .options = options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_detach,
};

} // namespace dmsnap::tool
