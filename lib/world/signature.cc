// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/signature.h"

#include "base/error.h"
#include "base/text.h"
#include "world/file.h"

#include <blkid/blkid.h>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <vector>

namespace dmsnap {
namespace {

struct FreeProbe {
    void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
};
using ProbePtr = std::unique_ptr<std::remove_pointer_t<blkid_probe>, FreeProbe>;

/// A probe for everything: also what has a wrong checksum was somebody's data.
ProbePtr make_probe(int fd, const std::filesystem::path& node)
{
    errno = 0;
    ProbePtr probe(blkid_new_probe());
    if (!probe || blkid_probe_set_device(probe.get(), fd, 0, 0) != 0)
        throw Error(node, "look for signatures", errno != 0 ? errno : EIO);
    blkid_probe_enable_superblocks(probe.get(), 1);
    blkid_probe_set_superblocks_flags(probe.get(),
        BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_BADCSUM);
    blkid_probe_enable_partitions(probe.get(), 1);
    blkid_probe_set_partitions_flags(probe.get(), BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT);
    return probe;
}

/// Calls `visit` for each signature in turn.
template <typename Visit> void for_each_signature(int fd, const std::filesystem::path& node, Visit visit)
{
    const ProbePtr probe = make_probe(fd, node);
    int found = 0;
    errno = 0;
    while ((found = blkid_do_probe(probe.get())) == 0)
        visit(*probe);
    if (found < 0)
        throw Error(node, "look for signatures", errno != 0 ? errno : EIO);
}

std::string value_of(blkid_struct_probe& probe, const char* name)
{
    const char* value = nullptr;
    return blkid_probe_lookup_value(&probe, name, &value, nullptr) == 0 ? value : "";
}

std::string describe(blkid_struct_probe& probe)
{
    const std::string type = value_of(probe, "TYPE");
    if (type.empty())
        return fmt::format("{} partition table", value_of(probe, "PTTYPE"));
    if (type == "LVM2_member")
        return "LVM2 physical volume";
    const std::string label = value_of(probe, "LABEL");
    const std::string usage = value_of(probe, "USAGE");
    return fmt::format("{}{}{}", type,
        usage == "filesystem" ? " filesystem"
        : usage == "raid"     ? " member"
                              : "",
        label.empty() ? "" : fmt::format(", label {}", printable(label)));
}

} // namespace

std::optional<Signature> find_signature(const std::filesystem::path& node)
{
    const File file = File::open(node, O_RDONLY);
    std::vector<std::string> descriptions;
    bool physical_volume = false;
    for_each_signature(file.fd(), node, [&](blkid_struct_probe& probe) {
        descriptions.push_back(describe(probe));
        physical_volume = physical_volume || value_of(probe, "TYPE") == "LVM2_member";
    });
    if (descriptions.empty())
        return std::nullopt;
    return Signature{fmt::format("{}", fmt::join(descriptions, "; ")), physical_volume};
}

void erase_signatures(int fd, const std::filesystem::path& node)
{
    for_each_signature(fd, node, [&](blkid_struct_probe& probe) {
        if (blkid_do_wipe(&probe, 0) != 0)
            throw Error(node, "erase old signatures", errno != 0 ? errno : EIO);
    });
}

} // namespace dmsnap
