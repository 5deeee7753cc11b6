package dev.edgekit.demo

import android.os.Build
import android.os.PowerManager
import android.view.WindowInsets

/** Marks what calls a newer Android than the app's oldest. Its callers ask for the version first. */
@Retention(AnnotationRetention.BINARY)
annotation class NewerSdk

/** The one place for such calls: the build checks everything else against the oldest Android. */
@NewerSdk
object Newer {
    /** API 29: PowerManager.THERMAL_STATUS_*, 0 is none. */
    fun thermal(power: PowerManager): Int = power.currentThermalStatus

    /** API 30: what bars and a camera's hole take of left, top, right and bottom. */
    fun bars(insets: WindowInsets): IntArray =
        insets.getInsets(WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout()).run { intArrayOf(left, top, right, bottom) }

    /** API 31. */
    fun soc(): String = "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}"
}
