// Times of many runs of one thing, and how they are told.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace berth::bench {

class Timings {
 public:
  // Runs `work` and keeps its time under `name`.
  void Time(const std::string& name, const std::function<void()>& work);
  void Add(const std::string& name, std::chrono::nanoseconds time) { times_[name].push_back(time); }
  double Percentile(const std::string& name, double percent) const;  // ms; 0 without a run
  double Median(const std::string& name) const { return Percentile(name, 50); }
  // One line: count, p50, p90, max.
  void Print(const std::string& title, const std::string& name) const;

 private:
  std::map<std::string, std::vector<std::chrono::nanoseconds>> times_;
};

// "  title  12.3 unit"; with a goal also whether it is met.
void PrintFigure(const std::string& title, double value, const std::string& unit);
void PrintRatio(const std::string& title, double value, double floor, double goal);

}  // namespace berth::bench
