// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace dmsnap {

/// What libblkid recognises on a device.
struct Signature {
    std::string description;      ///< "ext4 filesystem, label home"; several joined by "; "
    bool physical_volume = false; ///< one of them is LVM's
};

/// Looks for every filesystem, RAID, volume-manager and partition-table signature libblkid knows, broken ones too.
/// Throws Error if the device cannot be read: what cannot be read has not been seen to be empty.
std::optional<Signature> find_signature(const std::filesystem::path& node);

/// Erases them all through an open, writable descriptor of the device; `node` names it in an Error.
void erase_signatures(int fd, const std::filesystem::path& node);

} // namespace dmsnap
