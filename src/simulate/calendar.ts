// When mail is sent in the course of days and weeks. The simulation begins at midnight before a Monday.

import { below, type Random, weighted } from './random.ts'

/** Weights of the hours of a day and of the days of a week, Monday first. */
export interface Calendar {
  readonly hours: readonly number[]
  readonly days: readonly number[]
}

export const HOURS_OF_DAY = 24
export const DAYS_OF_WEEK = 7

export const HOUR = 3_600_000
export const DAY = HOURS_OF_DAY * HOUR

/** Draws an instant from 0 to the end of the simulation, in milliseconds. */
export type DrawInstant = (random: Random) => number

/** A function that draws instants in `days` days by the weights. */
export function instantsOf({ hours, days: week }: Calendar, days: number): DrawInstant {
  const weights = Array.from({ length: days * HOURS_OF_DAY }, (_, hour) => {
    const day = Math.floor(hour / HOURS_OF_DAY) % DAYS_OF_WEEK
    return (hours[hour % HOURS_OF_DAY] ?? 0) * (week[day] ?? 0)
  })
  const drawHour = weighted(weights)
  return (random) => drawHour(random) * HOUR + below(random, HOUR)
}
