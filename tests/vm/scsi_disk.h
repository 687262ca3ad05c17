// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/units.h"

#include <cstdint>
#include <string>

namespace dmsnap::test {

/// A SCSI disk of the kernel's own, in memory, whose sectors 0x1234 and on can be made unreadable, while writing them
/// works, and which can be unplugged.
class ScsiDisk {
public:
    explicit ScsiDisk(Bytes size = {8 << 20}, Bytes sector = {512});
    ~ScsiDisk();
    ScsiDisk(const ScsiDisk&) = delete;
    ScsiDisk& operator=(const ScsiDisk&) = delete;

    const std::string& path() const { return path_; }
    static constexpr std::uint64_t bad_sector = 0x1234;
    void fail_reads(bool fail) const;
    void unplug() const;

private:
    bool find();

    std::string path_;
};

} // namespace dmsnap::test
