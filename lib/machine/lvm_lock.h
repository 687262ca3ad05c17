// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace dmsnap {

/// LVM's own lock of a volume group, taken the way its commands take it to write: while it lives none of them touches
/// the tables of that group.  They wait, those that only read too, so no LVM command may be run meanwhile.
class LvmLock {
public:
    struct Terms {
        std::filesystem::path folder = "/run/lock/lvm";
        std::chrono::milliseconds say_so{1000};
        std::chrono::milliseconds give_up{60000};
    };

    /// `waiting` is called once, with a line to say.  Throws Error if LVM is at work for too long.
    LvmLock(const std::string& volume_group, const std::function<void(const std::string& line)>& waiting,
        const Terms& terms);
    LvmLock(const std::string& volume_group, const std::function<void(const std::string& line)>& waiting)
        : LvmLock(volume_group, waiting, Terms())
    {
    }
    ~LvmLock();
    LvmLock(LvmLock&& other) noexcept;
    LvmLock& operator=(LvmLock&&) = delete;

private:
    std::string path_;
    int fd_;
};

/// The volume group of a logical volume, by the names LVM gives its devices; nothing if it is not LVM's.
std::optional<std::string> volume_group_of(const std::string& dm_name, const std::string& dm_uuid);

} // namespace dmsnap
