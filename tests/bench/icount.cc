// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// icount-bench DEVICE read|write STRIDE: what one direct transfer of 4 KiB costs, the median of many, one at a time, each
// STRIDE bytes behind the one before and around again after 64 MiB.
//
// In nanoseconds of the guest, which are executed instructions where the emulator counts them (-icount shift=0): the
// same on every machine, whatever else it does. The median leaves out those that a timer's interrupt fell into.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <unistd.h>
#include <vector>

namespace {

constexpr std::size_t block = 4096;
constexpr std::uint64_t span = 64ULL << 20;
constexpr std::size_t transfers = 4096;
constexpr std::size_t warm_up = 256;

alignas(block) std::array<char, block> buffer;

std::int64_t now()
{
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

template <typename Act> std::int64_t median_cost(Act act)
{
    std::vector<std::int64_t> costs;
    for (std::size_t i = 0; i < warm_up + transfers; ++i) {
        const std::int64_t begin = now();
        act(i);
        const std::int64_t end = now();
        if (i >= warm_up)
            costs.push_back(end - begin);
    }
    std::nth_element(costs.begin(), costs.begin() + transfers / 2, costs.end());
    return costs[transfers / 2];
}

[[noreturn]] void fail(const char* what)
{
    std::perror(what);
    std::exit(1);
}

} // namespace

int main(int count, char** words)
{
    if (count != 4 || (std::strcmp(words[2], "read") != 0 && std::strcmp(words[2], "write") != 0)) {
        std::fprintf(stderr, "usage: icount-bench DEVICE read|write STRIDE\n");
        return 2;
    }
    const bool writes = std::strcmp(words[2], "write") == 0;
    const std::uint64_t stride = std::strtoull(words[3], nullptr, 10);
    const int device = open(words[1], (writes ? O_WRONLY : O_RDONLY) | O_DIRECT | O_CLOEXEC);
    if (device < 0)
        fail(words[1]);
    const auto transfer = [&](std::size_t i) {
        const auto position = static_cast<off_t>(i * stride % span);
        const ssize_t done =
            writes ? pwrite(device, buffer.data(), block, position) : pread(device, buffer.data(), block, position);
        if (done != static_cast<ssize_t>(block))
            fail(words[1]);
    };
    const std::int64_t clock = median_cost([](std::size_t) {});
    std::printf("%lld\n", static_cast<long long>(median_cost(transfer) - clock));
    close(device);
    return 0;
}
