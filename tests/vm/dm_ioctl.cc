// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "dm_ioctl.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/dm-ioctl.h>
#include <stdexcept>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <vector>

namespace dmsnap::test {
namespace {

constexpr std::size_t answer_bytes = 65536;

/// A dm_ioctl with what follows it, and room for the answer.
class Request {
public:
    Request(const std::string& dm_name, std::string_view payload)
        : bytes_(sizeof(dm_ioctl) + payload.size() + 1 + answer_bytes)
    {
        head().version[0] = DM_VERSION_MAJOR;
        head().data_size = static_cast<std::uint32_t>(bytes_.size());
        head().data_start = sizeof(dm_ioctl);
        if (dm_name.size() >= sizeof(head().name))
            throw std::logic_error("a name too long for device-mapper");
        std::memcpy(head().name, dm_name.c_str(), dm_name.size() + 1);
        std::memcpy(bytes_.data() + sizeof(dm_ioctl), payload.data(), payload.size());
    }

    dm_ioctl& head() { return *reinterpret_cast<dm_ioctl*>(bytes_.data()); }

    int run(unsigned long command)
    {
        const int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
        if (control < 0)
            throw std::runtime_error("no /dev/mapper/control");
        const int error = ioctl(control, command, bytes_.data()) != 0 ? errno : 0;
        close(control);
        return error;
    }

    std::string answer()
    {
        if ((head().flags & DM_DATA_OUT_FLAG) == 0)
            return {};
        const char* text = bytes_.data() + head().data_start;
        return {text, strnlen(text, bytes_.size() - head().data_start)};
    }

private:
    std::vector<char> bytes_;
};

template <typename Struct> std::string as_bytes(const Struct& value)
{
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

} // namespace

Answer send_message(const std::string& dm_name, std::string_view text, std::uint64_t sector)
{
    Request request(dm_name, as_bytes(dm_target_msg{sector}) + std::string(text));
    const int error = request.run(DM_TARGET_MSG);
    return {error, error == 0 ? request.answer() : std::string()};
}

int load_line(const std::string& dm_name, std::uint64_t start, std::uint64_t length, std::string_view target,
    std::string_view arguments, bool read_only)
{
    dm_target_spec spec{};
    spec.sector_start = start;
    spec.length = length;
    std::memcpy(spec.target_type, target.data(), std::min(target.size(), sizeof(spec.target_type) - 1));
    Request request(dm_name, as_bytes(spec) + std::string(arguments));
    request.head().target_count = 1;
    request.head().flags = read_only ? DM_READONLY_FLAG : 0;
    return request.run(DM_TABLE_LOAD);
}

std::string create_device(const std::string& dm_name)
{
    Request request(dm_name, {});
    if (const int error = request.run(DM_DEV_CREATE))
        throw std::runtime_error(fmt::format("a device was not made: {}", std::strerror(error)));
    return fmt::format("{}:{}", major(request.head().dev), minor(request.head().dev));
}

int remove_device(const std::string& dm_name) { return Request(dm_name, {}).run(DM_DEV_REMOVE); }

int clear_device(const std::string& dm_name) { return Request(dm_name, {}).run(DM_TABLE_CLEAR); }

} // namespace dmsnap::test
