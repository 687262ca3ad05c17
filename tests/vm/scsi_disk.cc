// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "scsi_disk.h"

#include "command.h"
#include "disk.h"
#include "wait.h"

#include <filesystem>
#include <fmt/format.h>
#include <stdexcept>

namespace dmsnap::test {
namespace {

constexpr const char* driver = "/sys/bus/pseudo/drivers/scsi_debug";

} // namespace

ScsiDisk::ScsiDisk(Bytes size, Bytes sector)
{
    // Or it is built in, of 8 MiB with sectors of 512 bytes.
    try_to({"modprobe", "scsi_debug", "add_host=0", fmt::format("dev_size_mb={}", size.count >> 20),
        fmt::format("sector_size={}", sector.count)});
    must({"sh", "-c", fmt::format("echo 1 >{}/add_host", driver)});
    wait_until("a disk of scsi_debug", 30, [this] { return find(); });
    must({"udevadm", "settle"});
    const Disk disk(path_);
    if (disk.size() != size || disk.sector() != sector)
        throw std::runtime_error(path_ + " has another size than was asked for: scsi_debug was loaded already");
}

ScsiDisk::~ScsiDisk()
{
    try_to({"sh", "-c", fmt::format("echo 0 >{0}/opts; echo -1 >{0}/add_host", driver)});
    try_to({"udevadm", "settle"});
    try_to({"modprobe", "-r", "scsi_debug"});
}

void ScsiDisk::fail_reads(bool fail) const
{
    must({"sh", "-c", fmt::format("echo {} >{}/opts", fail ? 2 : 0, driver)});
}

void ScsiDisk::unplug() const
{
    const std::string name = std::filesystem::path(path_).filename();
    must({"sh", "-c", fmt::format("echo 1 >/sys/block/{}/device/delete", name)});
}

bool ScsiDisk::find()
{
    const Result found = run({"sh", "-c", fmt::format("ls -d {}/adapter*/host*/target*/*/block/sd*", driver)});
    if (found.status != 0)
        return false;
    path_ = "/dev/" + std::filesystem::path(found.out.substr(0, found.out.find('\n'))).filename().string();
    return std::filesystem::exists(path_);
}

} // namespace dmsnap::test
