plugins {
    alias(libs.plugins.android.application) apply false
    alias(libs.plugins.kotlin.jvm) apply false  // its version is the one that the Android plugin's own Kotlin takes, too
}
