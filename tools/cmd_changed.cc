// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/error.h"
#include "base/text.h"
#include "json.h"
#include "ops/find.h"
#include "plan/query.h"
#include "session.h"

#include <cerrno>
#include <fmt/format.h>

namespace dmsnap::tool {
namespace {

constexpr Option options[] = {
    {"since", "POINT", "list what was written after it: NAME, uuid or GENERATION:ID"},
    {"until", "POINT", "and before it; now, unless given"},
};

std::string basic(const std::vector<Run>& runs)
{
    std::string text;
    for (const Run& run : runs)
        text += fmt::format("{} {}\n", run.start.bytes().count, run.length.bytes().count);
    return text;
}

std::string json(
    const OriginState& origin, const std::string& from, const std::string& to, const std::vector<Run>& runs)
{
    nlohmann::ordered_json extents = nlohmann::ordered_json::array();
    for (const Run& run : runs)
        extents.push_back({run.start.bytes().count, run.length.bytes().count});
    nlohmann::ordered_json changed;
    changed["device"] = origin.device().text();
    changed["from"] = from;
    changed["to"] = to;
    changed["chunk_size"] = origin.line.chunk.bytes().count;
    changed["complete"] = true;
    changed["extents"] = std::move(extents);
    return to_text({{"changed", std::move(changed)}}, -1);
}

Error chain_broken(const std::string& device, const char* reason)
{
    return Error(device, "list what changed", reason, "a full backup, and changes from there on")
        .as(Fault::chain_broken);
}

/// A device that is there and not attached has no chain either.
const OriginState& require_chain(const Machine& machine, const std::string& spec)
{
    const BlockDevice block = resolve_live(machine, spec);
    const OriginState* origin = find_attached(machine, block);
    if (origin != nullptr && origin->shrunk())
        throw chain_broken(printable(block.name()), "it is smaller than when it was attached");
    if (origin != nullptr)
        return *origin;
    throw chain_broken(printable(block.name()), "it is not attached: its chain of changes has ended");
}

/// What stands behind a failure in the midst of it: another table answers as if it had been asked nonsense.
Error explained(const Error& error, const OriginState& origin, const Machine& now)
{
    if (error.number() == ESTALE || error.number() == ENOENT)
        return chain_broken(origin.device().text(), "the point went away meanwhile");
    const OriginState* present = now.find_origin(origin.line.origin);
    const bool goes_on = now.unread_origins.count(origin.line.origin) != 0 ||
                         (present != nullptr && present->status.generation == origin.status.generation);
    return goes_on ? error : chain_broken(origin.device().text(), "it was given another table meanwhile");
}

/// What a device has grown by until now, the list having been read: it counts as changed.
void add_new_space(std::vector<Run>& runs, const OriginState& origin, const OriginState& now)
{
    if (now.status.generation != origin.status.generation)
        throw chain_broken(origin.device().text(), "it was attached anew meanwhile");
    const auto grown = now.new_space();
    if (!grown)
        return;
    if (!runs.empty() && runs.back().start + runs.back().length == grown->start)
        runs.back().length = runs.back().length + grown->length;
    else
        runs.push_back(*grown);
}

int run_changed(const Arguments& arguments)
{
    arguments.require_objects(1, 1);
    const bool as_json = wants_json(arguments);
    const std::string& since = arguments.require("since");
    const std::string* until = arguments.value("until");

    const auto dm = start();
    const Machine machine = survey(*dm);
    const OriginState& origin = require_chain(machine, arguments.objects().front());
    require_our_interface(origin);
    const Point& from = resolve_point(origin, since);
    const Point* to = until != nullptr ? &resolve_point(origin, *until) : nullptr;
    if (to != nullptr && to->id <= from.id)
        throw Error(origin.device().text(), "list what changed",
            fmt::format("\"{}\" is not before \"{}\"", from.name.text(), to->name.text()),
            "dmsnap list, which shows their order");
    std::vector<Run> runs;
    try {
        runs =
            read_changed(*dm, origin.name(), origin.id_of(from), to != nullptr ? std::optional(to->id) : std::nullopt);
    } catch (const Error& error) {
        throw explained(error, origin, survey(*dm));
    }
    if (to == nullptr && origin.live)
        add_new_space(runs, origin, require_chain(survey(*dm), arguments.objects().front()));
    // Only now is it known to be complete.
    print(as_json ? json(origin, origin.id_of(from).text(), to != nullptr ? origin.id_of(*to).text() : "now", runs)
                  : basic(runs));
    return exit_done;
}

} // namespace

const Command changed_command = {
    .name = "changed",
    .synopsis = "--since POINT [--until POINT] [--reportformat basic|json] [OPTIONS] DEVICE",
    .summary = "list what was written between two points",
    .options = options,
    .group = Group::reports,
    .hidden = false,
    .run = run_changed,
};

} // namespace dmsnap::tool
